"""The promises about the counters of one exporter process, checked from page to page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

__all__ = ["CounterJudge"]

K = TypeVar("K")


class CounterJudge(Generic[K]):
    """Checks that counters never decrease and that none vanishes without a reason.

    Create a new judge for each process. ``highest`` holds the highest value of each counter, ``served`` the
    counters of the last page. ``floor`` holds values that the first pages must reach if they have the
    counter: what an earlier process left in its state file.
    """

    def __init__(self, floor: Mapping[K, float] | None = None) -> None:
        self.highest: dict[K, float] = dict(floor or {})
        self.served: dict[K, float] = {}

    def check(
        self,
        counters: Mapping[K, float],
        *,
        may_vanish: Callable[[K], bool],
        upper_bounds: Mapping[K, float] | None = None,
    ) -> list[str]:
        """Take the counters of a page and return the broken promises.

        A counter of 0 may vanish at any time, because a restarted process does not export it either.
        ``upper_bounds`` holds the true totals; a counter without one must be 0.
        """
        problems = []
        for key, value in counters.items():
            if value < self.highest.get(key, 0):
                problems.append(f"decreased from {self.highest[key]} to {value}: {key}")
            if upper_bounds is not None and value > upper_bounds.get(key, 0):
                problems.append(f"{value} exceeds the total {upper_bounds.get(key, 0)}: {key}")
        problems += [
            f"vanished at {value}: {key}"
            for key, value in self.served.items()
            if key not in counters and value > 0 and not may_vanish(key)
        ]
        for key, value in counters.items():
            self.highest[key] = max(value, self.highest.get(key, 0))
        self.served = dict(counters)
        return problems
