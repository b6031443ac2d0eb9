"""Chance that is the same for ever: a number from a seed and a place, without drawing those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["chance", "pick", "scatter"]

T = TypeVar("T")

_MASK = (1 << 64) - 1


def scatter(*places: int) -> int:
    """Return 64 bits that depend on every place."""
    state = 0x9E3779B97F4A7C15
    for place in places:
        state = (state ^ place) * 0xBF58476D1CE4E5B9 & _MASK
        state ^= state >> 27
        state = state * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


def chance(*places: int) -> float:
    """Return a number from 0 up to 1."""
    return (scatter(*places) >> 11) / (1 << 53)


def pick(choices: Sequence[T], *places: int) -> T:
    """Return one of the choices; the first ones are likelier."""
    share = chance(*places)
    return choices[int(share * share * len(choices))]
