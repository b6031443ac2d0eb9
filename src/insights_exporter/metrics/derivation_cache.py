"""Caches of values derived from a snapshot, kept for as long as the snapshot's parts are unchanged."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import Any, Generic, TypeVar

__all__ = ["DerivationCache", "TwoGenerationCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S = TypeVar("S")


@dataclass(slots=True)
class TwoGenerationCache(Generic[K, V]):
    """Keeps entries that were written or read in the current or the previous generation."""

    _current: dict[K, V] = field(default_factory=dict)
    _previous: dict[K, V] = field(default_factory=dict)

    def rotate(self) -> None:
        """Start a generation and drop entries that the last one did not use."""
        self._previous, self._current = self._current, {}

    def get(self, key: K) -> V | None:
        """Return the cached value; None if there is none."""
        value = self._current.get(key)
        if value is None and (value := self._previous.get(key)) is not None:
            self._current[key] = value
        return value

    def put(self, key: K, value: V) -> V:
        """Cache a value and return it."""
        self._current[key] = value
        return value


class DerivationCache:
    """Caches values by key and by the identity of their sources.

    A collector keeps a part of the snapshot as the same object while Coder's answer is unchanged, so identity
    is enough and no content is compared.
    """

    def __init__(self) -> None:
        self._cache: TwoGenerationCache[Hashable, tuple[Sequence[object], Any]] = TwoGenerationCache()

    def rotate(self) -> None:
        """Start a generation and drop entries that the last one did not use."""
        self._cache.rotate()

    def get_or_compute(self, key: Hashable, source: S, compute: Callable[[S], V]) -> V:
        """Return the value derived from one source; ``key`` names the derivation and its labels."""
        return self.get_or_compute_many(key, (source,), partial(compute, source))

    def get_or_compute_many(self, key: Hashable, sources: Sequence[object], compute: Callable[[], V]) -> V:
        """Return the value derived from several sources."""
        cached = self._cache.get(key)
        if cached is None or len(cached[0]) != len(sources) or not all(map(is_, cached[0], sources)):
            cached = self._cache.put(key, (sources, compute()))
        value: V = cached[1]
        return value
