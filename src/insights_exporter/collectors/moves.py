"""How far users' time moved from poll to poll, so that only those who worked are added up anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from insights_exporter.insights.normalization import ActivityReport, accumulate

__all__ = ["DeltaCache"]


class DeltaCache:
    """How far the answers of one poll moved, each found out once for all that it is a part of."""

    def __init__(self) -> None:
        self._cache: dict[
            tuple[int, int], tuple[ActivityReport, ActivityReport, Mapping[str, float] | None]
        ] = {}

    def delta(
        self, previous: Sequence[ActivityReport], current: Sequence[ActivityReport]
    ) -> Mapping[str, float] | None:
        """Return by how much the sum over the ranges moved, by user id; a new user is there even with 0.

        None where somebody is gone or the number of ranges is another: then it has to be added up.
        """
        if len(previous) != len(current):
            return None
        total: Mapping[str, float] = {}
        for old, new in zip(previous, current, strict=True):
            delta = {} if old is new else self._cached_delta(old, new)
            if delta is None:
                return None
            total = _add_deltas(total, delta)
        return total

    def _cached_delta(self, old: ActivityReport, new: ActivityReport) -> Mapping[str, float] | None:
        key = id(old), id(new)
        if key not in self._cache:
            # Both are kept as well, or others could come to have their ids.
            self._cache[key] = old, new, _compute_delta(old.seconds_by_user, new.seconds_by_user)
        return self._cache[key][2]


def _compute_delta(old: Mapping[str, float], new: Mapping[str, float]) -> Mapping[str, float] | None:
    if not old.keys() <= new.keys():
        return None
    rows = zip(new, new.values(), map(old.get, new), strict=True)
    return {
        user_id: seconds - (previous or 0.0) for user_id, seconds, previous in rows if seconds != previous
    }


def _add_deltas(left: Mapping[str, float], right: Mapping[str, float]) -> Mapping[str, float]:
    if not left or not right:
        return left or right
    total = dict(left)
    accumulate(total, right.items())
    return total
