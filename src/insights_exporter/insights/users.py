"""Users of a range: their seconds, their latency, and their names.

A username can change, and two accounts can have the same one. Ranges are therefore added by user id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Final, TypeVar

import msgspec

from insights_exporter.coder import models
from insights_exporter.snapshot import Latency

__all__ = [
    "EMPTY_ACTIVITY",
    "EMPTY_LATENCY",
    "ActivityReport",
    "LatencyReport",
    "UsernameIndex",
    "accumulate",
    "group_templates",
    "normalize_activity",
    "normalize_latency",
    "request_group",
    "split_by_template",
    "sum_by_username",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", models.UserActivityReport, models.UserLatencyReport)
UserRow = TypeVar("UserRow", models.UserActivity, models.UserLatency)

MAX_GROUP_SIZE: Final = 100
"""Templates in one request; the ids of more would exceed the length of a URL that proxies accept."""


class UsernameIndex:
    """The newest known username of each user id; an id without a username stands for itself.

    ``version`` is a new object after each change of a username that may have been resolved before.
    """

    def __init__(self) -> None:
        self._username_by_id: dict[str, str] = {}
        self._unresolved: set[str] = set()
        self.version = object()

    def username(self, user_id: str) -> str:
        """Return the username, or the id itself."""
        username = self._username_by_id.get(user_id)
        if username:
            return username
        self._unresolved.add(user_id)
        return user_id

    def matches(self, user_ids: Iterable[str], usernames: list[str]) -> bool:
        """Return whether each id has the username at its position."""
        return list(map(self._username_by_id.get, user_ids)) == usernames

    def update(self, usernames: Mapping[str, str]) -> None:
        """Take usernames by id."""
        known = self._username_by_id
        # Usually all are known, and each username stays the same object.
        if usernames.items() <= known.items():
            return
        changed = {user_id for user_id in usernames if known.get(user_id, "") != usernames[user_id]}
        is_rename = any(user_id in known or user_id in self._unresolved for user_id in changed)
        known.update({user_id: intern(usernames[user_id]) for user_id in changed})
        if is_rename:
            self._unresolved -= changed
            self.version = object()


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """Seconds by user id. User ids are stable, so that ranges can be added although usernames change.

    ``users_by_template`` and ``multi_template_users`` are known for deployment-wide responses only.
    """

    seconds_by_user: Mapping[str, float] = field(default_factory=dict)
    users_by_template: Mapping[str, frozenset[str]] = field(default_factory=dict)
    multi_template_users: frozenset[str] = frozenset()

    def by_username(self, index: UsernameIndex) -> dict[str, float]:
        """Return the seconds by current username."""
        return sum_by_username(self.seconds_by_user, index)

    def of_template(self, template_id: str) -> ActivityReport | None:
        """Return the part of one template; None if a user of it used several templates.

        The seconds of such a user cannot be split. Then the template must be requested.
        """
        user_ids = self.users_by_template.get(template_id, frozenset())
        if not self.multi_template_users.isdisjoint(user_ids):
            return None
        return ActivityReport({user_id: self.seconds_by_user[user_id] for user_id in sorted(user_ids)})

    def changed_templates(self, previous: object) -> Iterator[str]:
        """Yield the templates with other users than in a previous report of the deployment, or other seconds.

        The seconds of a user are those in all templates. Without a previous report, all templates changed.
        """
        old = previous if isinstance(previous, ActivityReport) else EMPTY_ACTIVITY
        changed_users = {
            user_id
            for user_id, seconds in self.seconds_by_user.items()
            if seconds != old.seconds_by_user.get(user_id)
        }
        for template_id, users in self.users_by_template.items():
            if users != old.users_by_template.get(template_id) or not changed_users.isdisjoint(users):
                yield template_id


@dataclass(slots=True)
class LatencyReport:
    """The latency of users in seconds, by position; None without a measurement."""

    user_ids: tuple[str, ...] = ()
    p50: tuple[float | None, ...] = ()
    p95: tuple[float | None, ...] = ()
    _resolved: tuple[object, Latency] | None = field(default=None, compare=False, repr=False)
    """The version of the username index, and the latency under its usernames."""

    def by_username(self, index: UsernameIndex, user_filter: Callable[[str], bool] | None) -> Latency:
        """Return the latency of admitted users; of two users with one name, the slower counts.

        The result stays the same object while it is unchanged.
        """
        previous = None if self._resolved is None else self._resolved[1]
        if self._resolved is None or self._resolved[0] is not index.version:
            latency = self._resolve(index, user_filter)
            self._resolved = index.version, previous if latency == previous else latency
        return self._resolved[1]

    def _resolve(self, index: UsernameIndex, user_filter: Callable[[str], bool] | None) -> Latency:
        rows: dict[str, tuple[float | None, float | None]] = {}
        for user_id, p50, p95 in zip(self.user_ids, self.p50, self.p95, strict=True):
            username = index.username(user_id)
            if user_filter is not None and not user_filter(username):
                continue
            existing = rows.get(username)
            if existing is None or (existing[0] or 0.0) < (p50 or 0.0):
                rows[username] = p50, p95
        return Latency(
            tuple(rows),
            {username: row[0] for username, row in rows.items() if row[0] is not None},
            {username: row[1] for username, row in rows.items() if row[1] is not None},
        )


EMPTY_ACTIVITY: Final = ActivityReport()
EMPTY_LATENCY: Final = LatencyReport()


def normalize_activity(report: models.UserActivityReport, *, by_template: bool = False) -> ActivityReport:
    """Return the seconds of each user; ``by_template`` adds the users of each template."""
    users = report.users
    # Many responses contain the same ids.
    user_ids = [intern(user.user_id) for user in users]
    seconds = {user_id: float(user.seconds) for user_id, user in zip(user_ids, users, strict=True)}
    if not by_template:
        return ActivityReport(seconds)
    users_by_template: dict[str, set[str]] = {}
    multi_template_users = set()
    for user_id, user in zip(user_ids, users, strict=True):
        for template_id in user.template_ids:
            users_by_template.setdefault(template_id, set()).add(user_id)
        if len(user.template_ids) > 1:
            multi_template_users.add(user_id)
    return ActivityReport(
        seconds,
        {template_id: frozenset(ids) for template_id, ids in users_by_template.items()},
        frozenset(multi_template_users),
    )


def normalize_latency(report: models.UserLatencyReport) -> LatencyReport:
    """Return the latency of each user."""
    return LatencyReport(
        tuple([intern(user.user_id) for user in report.users]),
        tuple([user.p50_seconds for user in report.users]),
        tuple([user.p95_seconds for user in report.users]),
    )


def group_templates(template_ids: Iterable[str], activity: ActivityReport) -> list[list[str]]:
    """Return groups of templates without a common user in the deployment's activity.

    One request for a group returns each user's data in one template.
    """
    groups: list[tuple[list[str], set[str]]] = []
    for template_id in template_ids:
        users = activity.users_by_template.get(template_id, frozenset()) & activity.multi_template_users
        for group, group_users in groups:
            if len(group) < MAX_GROUP_SIZE and group_users.isdisjoint(users):
                group.append(template_id)
                group_users.update(users)
                break
        else:
            groups.append(([template_id], set(users)))
    return [group for group, _ in groups]


def split_by_template(rows: Iterable[UserRow], template_ids: Sequence[str]) -> dict[str, list[UserRow]]:
    """Return the rows of each template; templates that share a row are left out."""
    rows_by_template: dict[str, list[UserRow]] = {template_id: [] for template_id in template_ids}
    for row in rows:
        if len(row.template_ids) == 1 and row.template_ids[0] in rows_by_template:
            rows_by_template[row.template_ids[0]].append(row)
            continue
        # A user used another template since the deployment's activity was read.
        for template_id in row.template_ids or template_ids:
            rows_by_template.pop(template_id, None)
    return rows_by_template


async def request_group(
    template_ids: Sequence[str], request: Callable[[Sequence[str]], Awaitable[R]]
) -> dict[str, R]:
    """Return the response for each template of a group, with one request if it can be split."""
    response = await request(template_ids)
    if len(template_ids) == 1:
        return {template_ids[0]: response}
    rows_by_template = split_by_template(response.users, template_ids)
    return {
        template_id: msgspec.structs.replace(response, users=rows_by_template[template_id])
        if template_id in rows_by_template
        else await request((template_id,))
        for template_id in template_ids
    }


def sum_by_username(seconds_by_user: Mapping[str, float], index: UsernameIndex) -> dict[str, float]:
    """Return the seconds by current username."""
    sums: dict[str, float] = {}
    accumulate(sums, zip(map(index.username, seconds_by_user), seconds_by_user.values(), strict=True))
    return sums


def accumulate(sums: dict[K, float], items: Iterable[tuple[K, float]]) -> None:
    """Add each number to the sum of its key."""
    for key, value in items:
        sums[key] = sums.get(key, 0.0) + value
