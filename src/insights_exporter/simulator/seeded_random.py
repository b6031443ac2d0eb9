"""Reproducible random numbers: a hash of a seed and keys, independent of earlier draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["hash64", "uniform", "weighted_choice"]

T = TypeVar("T")

_MASK = (1 << 64) - 1


def hash64(*keys: int) -> int:
    """Return a 64-bit hash of all keys."""
    state = 0x9E3779B97F4A7C15
    for key in keys:
        state = (state ^ key) * 0xBF58476D1CE4E5B9 & _MASK
        state ^= state >> 27
        state = state * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


def uniform(*keys: int) -> float:
    """Return a number in [0, 1)."""
    return (hash64(*keys) >> 11) / (1 << 53)


def weighted_choice(choices: Sequence[T], *keys: int) -> T:
    """Return one of the choices; earlier ones are more likely."""
    fraction = uniform(*keys)
    return choices[int(fraction * fraction * len(choices))]
