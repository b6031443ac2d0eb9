"""How far users' time moved from poll to poll, so that only those who worked are added up anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from insights_exporter.collectors.parts import Activity, add

__all__ = ["Moves"]


class Moves:
    """How far the answers of one poll moved, each found out once for all that it is a part of."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Activity, Activity, Mapping[str, float] | None]] = {}

    def between(self, before: Sequence[Activity], now: Sequence[Activity]) -> Mapping[str, float] | None:
        """Return by how much the sum over the ranges moved, by user id; a new user is there even with 0.

        None where somebody is gone or the number of ranges is another: then it has to be added up.
        """
        if len(before) != len(now):
            return None
        moved: Mapping[str, float] = {}
        for old, new in zip(before, now, strict=True):
            step = {} if old is new else self._step(old, new)
            if step is None:
                return None
            moved = _both(moved, step)
        return moved

    def _step(self, old: Activity, new: Activity) -> Mapping[str, float] | None:
        key = id(old), id(new)
        if key not in self._known:
            # Both are kept as well, or others could come to have their ids.
            self._known[key] = old, new, _step(old.users, new.users)
        return self._known[key][2]


def _step(old: Mapping[str, float], new: Mapping[str, float]) -> Mapping[str, float] | None:
    if not old.keys() <= new.keys():
        return None
    rows = zip(new, new.values(), map(old.get, new), strict=True)
    return {identity: now - (before or 0.0) for identity, now, before in rows if now != before}


def _both(one: Mapping[str, float], other: Mapping[str, float]) -> Mapping[str, float]:
    if not one or not other:
        return one or other
    moved = dict(one)
    add(moved, other.items())
    return moved
