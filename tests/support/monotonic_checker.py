"""A checker of the totals that one process exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["MonotonicChecker", "SeriesKey"]

SeriesKey: TypeAlias = tuple[str, str, str]
"""Template, kind and name of a total; the deployment has no template."""


class MonotonicChecker:
    """Checks that totals are exact, never decrease and never vanish."""

    def __init__(self) -> None:
        self.exported: dict[SeriesKey, float] = {}
        """The totals of the last poll."""
        self.poll_count = 0

    def check(self, exported: Mapping[SeriesKey, float], expected: Mapping[SeriesKey, float]) -> None:
        """Check the totals of the next poll; a total that appears late is 0 once."""
        self.poll_count += 1
        for key, value in expected.items():
            appears_late = key not in self.exported and self.poll_count > 1
            assert exported[key] == (0 if appears_late else value), key
        for key, previous in self.exported.items():
            assert exported.get(key, 0.0) >= previous, key
        assert {key for key, value in exported.items() if value} <= expected.keys()
        self.exported = dict(exported)
