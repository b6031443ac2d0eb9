"""Chance that is the same for ever: a number from a seed and a place, without drawing those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["hash64", "uniform", "weighted_choice"]

T = TypeVar("T")

_MASK = (1 << 64) - 1


def hash64(*keys: int) -> int:
    """Return 64 bits that depend on every place."""
    state = 0x9E3779B97F4A7C15
    for key in keys:
        state = (state ^ key) * 0xBF58476D1CE4E5B9 & _MASK
        state ^= state >> 27
        state = state * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


def uniform(*keys: int) -> float:
    """Return a number from 0 up to 1."""
    return (hash64(*keys) >> 11) / (1 << 53)


def weighted_choice(choices: Sequence[T], *keys: int) -> T:
    """Return one of the choices; the first ones are likelier."""
    fraction = uniform(*keys)
    return choices[int(fraction * fraction * len(choices))]
