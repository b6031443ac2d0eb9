"""Small groups and teams, and few members of a group in a window, a latency band or at their budget."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import msgspec

from insights_exporter.cell_suppression import cells_to_withhold, describes_too_few, merge_small_bands
from insights_exporter.snapshot import GroupQuota, GroupUsage, GroupWindow

__all__ = ["suppress_groups"]

_MEASURED_BANDS = ("fast", "fair", "slow")
_UNMEASURED = "unmeasured"


def suppress_groups(
    groups: Sequence[GroupUsage],
    accounts: int | None,
    active_users: Mapping[str, int | None],
    min_group_size: int,
    withheld: Counter[str],
) -> list[GroupUsage]:
    """Return the groups that have enough members, with the windows in which enough members were active.

    ``accounts`` and ``active_users`` are the published numbers of people of the deployment, in total and by
    window. The largest group of an organization often has everybody, so it counts as a total as well.
    """
    members = {(group.organization_name, group.name): group.members for group in groups}
    small = _withheld_groups(members, accounts, min_group_size)
    active = {
        (window.window, group.organization_name, group.name): window.active_users
        for group in groups
        for window in group.windows
    }
    quiet: set[tuple[str, str, str]] = set()
    for name, total in active_users.items():
        people = {(key[1], key[2]): count for key, count in active.items() if key[0] == name}
        quiet |= {(name, *key) for key in _withheld_groups(people, total, min_group_size)}
    withheld["groups"] += len(small) + len(quiet)
    return [
        _suppress_group(group, quiet, min_group_size, withheld)
        for group in groups
        if (group.organization_name, group.name) not in small
    ]


def _withheld_groups(
    people: Mapping[tuple[str, str], int], total: int | None, min_group_size: int
) -> frozenset[tuple[str, str]]:
    withheld = set(cells_to_withhold(people, total, min_group_size))
    by_organization: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    for key, count in people.items():
        by_organization[key[0]][key] = count
    for cells in by_organization.values():
        largest = max(cells, key=lambda key: (cells[key], key))
        others = {key: count for key, count in cells.items() if key != largest}
        if withheld & others.keys():
            withheld |= cells_to_withhold(others, cells[largest], min_group_size)
    return frozenset(withheld)


def _suppress_group(
    group: GroupUsage, quiet: Collection[tuple[str, str, str]], min_group_size: int, withheld: Counter[str]
) -> GroupUsage:
    windows = tuple(
        _suppress_bands(window, min_group_size, withheld)
        for window in group.windows
        if (window.window, group.organization_name, group.name) not in quiet
    )
    return msgspec.structs.replace(
        group, windows=windows, quota=_suppress_quota(group, group.quota, min_group_size, withheld)
    )


def _suppress_bands(window: GroupWindow, min_group_size: int, withheld: Counter[str]) -> GroupWindow:
    """Return a window whose latency bands are merged with the next faster one until none is small."""
    people = [
        [(band, number) for number in range(window.users_by_latency.get(band, 0))] for band in _MEASURED_BANDS
    ]
    unmeasured = window.users_by_latency.get(_UNMEASURED, 0)
    measured = sum(map(len, people))
    if not window.users_by_latency:
        return window
    if describes_too_few(measured, min_group_size):
        withheld["latency"] += 1
        return msgspec.structs.replace(window, users_by_latency={})
    counts = dict.fromkeys((*_MEASURED_BANDS, _UNMEASURED), 0)
    for band, target in enumerate(merge_small_bands(people, min_group_size)):
        counts[_MEASURED_BANDS[target]] += len(people[band])
    if measured and describes_too_few(unmeasured, min_group_size):
        lowest = next(band for band in _MEASURED_BANDS if counts[band])
        counts[lowest] += unmeasured
    else:
        counts[_UNMEASURED] = unmeasured
    withheld["latency_bands"] += sum(
        counts[band] < users for band, users in window.users_by_latency.items() if band in counts
    )
    return msgspec.structs.replace(window, users_by_latency=counts)


def _suppress_quota(
    group: GroupUsage, quota: GroupQuota | None, min_group_size: int, withheld: Counter[str]
) -> GroupQuota | None:
    """Return the quota, unless few members are at their budget, or all but a few."""
    if quota is None:
        return None
    at_budget, below = quota.members_at_budget, group.members - quota.members_at_budget
    if not (describes_too_few(at_budget, min_group_size) or describes_too_few(below, min_group_size)):
        return quota
    withheld["budgets"] += 1
    return None
