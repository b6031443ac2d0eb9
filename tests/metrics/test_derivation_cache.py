"""Caches of derived values: entries live while they are used or their source is unchanged."""

from __future__ import annotations

from insights_exporter.metrics.derivation_cache import DerivationCache, TwoGenerationCache


def test_cache_keeps_entries_used_in_the_last_generation() -> None:
    cache = TwoGenerationCache[str, int]()
    for key, value in (("used", 1), ("unused", 2)):
        cache.put(key, value)
    cache.rotate()
    used = cache.get("used")
    cache.rotate()

    assert (used, cache.get("used"), cache.get("unused")) == (1, 1, None)


def test_derivation_is_cached_by_identity() -> None:
    derivations, source = DerivationCache(), {"ada": 1.0}
    first = derivations.get_or_compute("users", source, list)
    derivations.rotate()
    cached = derivations.get_or_compute("users", source, list)
    derivations.rotate()
    recomputed = derivations.get_or_compute("users", dict(source), list)

    assert cached is first
    assert recomputed == first
    assert recomputed is not first
