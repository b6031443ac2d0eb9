"""The state and the usage history of a deployment.

A world has no clock. Callers pass the current time and get the usage that the rollup contained by then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from threading import Lock

from insights_exporter.simulator.model import (
    AgentReport,
    Build,
    Group,
    Organization,
    Template,
    User,
    Workspace,
)
from insights_exporter.simulator.rollup import ClientResolver, RollupDelay, UsageRollup, client_from_family
from insights_exporter.simulator.usage import MINUTES_PER_DAY, UserDay, day_start, minute_mask, split_days

__all__ = ["ParameterRow", "World"]

ROLLUP_INTERVAL = timedelta(minutes=5)
MAX_CACHED_DAYS = 120
MAX_CACHED_ROLLUPS = 16


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A parameter with the number of workspaces by value."""

    key: tuple[str, str, str, str]
    """Name, type, display name and description."""
    options: tuple[tuple[str, str, str, str], ...]
    """Name, description, value and icon of each."""
    templates: tuple[str, ...]
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _DayUsage:
    """The usage of a day, in total and by template index, since most requests name one template."""

    user_days: tuple[UserDay, ...]
    by_template: Mapping[int, Sequence[UserDay]]

    @classmethod
    def from_user_days(cls, user_days: Iterable[UserDay]) -> _DayUsage:
        """Group the usage by template."""
        all_user_days, by_template = tuple(user_days), defaultdict[int, list[UserDay]](list)
        for user_day in all_user_days:
            by_template[user_day.template].append(user_day)
        return cls(all_user_days, dict(by_template))

    def for_templates(self, templates: frozenset[int] | None) -> Sequence[UserDay]:
        """Return the usage of some templates; None is all."""
        if templates is None:
            return self.user_days
        return [
            user_day
            for index in sorted(templates & self.by_template.keys())
            for user_day in self.by_template[index]
        ]


@dataclass(slots=True)
class World(ABC):
    """Organizations, templates, users, and the usage that subclasses define.

    Usage refers to ``templates`` and ``users`` by index. ``service_accounts`` are accounts without
    workspaces. ``usage_stats_enabled`` is the deployment's switch. ``rollup_delay`` delays some of the usage.
    """

    organizations: Sequence[Organization]
    templates: tuple[Template, ...]
    users: tuple[User, ...]
    service_accounts: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    usage_stats_enabled: bool = True
    rollup_delay: RollupDelay | None = None
    _day_cache: OrderedDict[date, _DayUsage] = field(default_factory=OrderedDict, repr=False)
    _rollup_cache: OrderedDict[tuple[object, ...], UsageRollup] = field(
        default_factory=OrderedDict, repr=False
    )
    _lock: Lock = field(default_factory=Lock, repr=False)

    @abstractmethod
    def usage_on(self, day: date) -> Iterable[UserDay]:
        """Return all usage of a UTC day, including the part that lies in the future."""

    @abstractmethod
    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return the workspaces at a time, prebuilt ones included."""

    @abstractmethod
    def builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Return the builds created in a range, of some templates; None is all."""

    @abstractmethod
    def last_seen(self, user: int, now: datetime) -> datetime | None:
        """Return when a user was last seen; None for never."""

    def account_status(self, user: int, now: datetime) -> str:
        """Return the status of an account; indexes beyond the users are service accounts.

        While usage statistics are disabled, Coder turns accounts without any activity dormant.
        """
        if user >= len(self.users):
            return self.service_accounts[user - len(self.users)].status
        status = self.users[user].status
        if status == "active" and not self.usage_stats_enabled and self.last_seen(user, now) is None:
            return "dormant"
        return status

    def usage(self, day: date, templates: frozenset[int] | None = None) -> Sequence[UserDay]:
        """Return the usage of a day from the cache; ``templates`` are indexes, None is all."""
        with self._lock:
            cached = self._day_cache.get(day)
            if cached is None:
                cached = self._day_cache[day] = _DayUsage.from_user_days(self.usage_on(day))
                if len(self._day_cache) > MAX_CACHED_DAYS:
                    self._day_cache.popitem(last=False)
            else:
                self._day_cache.move_to_end(day)
        return cached.for_templates(templates)

    def clear_caches(self) -> None:
        """Drop cached usage; call this after a change of the history."""
        self._day_cache.clear()
        self._rollup_cache.clear()

    def rollup(
        self,
        start: datetime,
        end: datetime,
        *,
        now: datetime,
        templates: frozenset[str] | None = None,
        client_resolver: ClientResolver = client_from_family,
    ) -> UsageRollup:
        """Return the rollup of a range as of ``now``; ``templates`` are ids, None is all.

        Results are cached, since several routes request the same range in sequence.
        """
        key = (start, end, _last_rollup_time(now), templates, client_resolver, self.rollup_delay)
        with self._lock:
            if (cached := self._rollup_cache.get(key)) is not None:
                return cached
        result = UsageRollup(client_resolver=client_resolver)
        for day, user_days in self._visible_usage(start, end, now, templates):
            result.add_day(day, user_days, self.templates)
        with self._lock:
            self._rollup_cache[key] = result
            if len(self._rollup_cache) > MAX_CACHED_ROLLUPS:
                self._rollup_cache.popitem(last=False)
        return result

    def _visible_usage(
        self, start: datetime, end: datetime, now: datetime, templates: frozenset[str] | None
    ) -> Iterator[tuple[date, Sequence[UserDay]]]:
        """Yield the usage that the rollup contained at ``now``, by day."""
        template_indexes = None if templates is None else self._template_indexes(templates)
        visible_until = _last_rollup_time(now)
        for day, mask in _half_hour_masks(start, min(end, visible_until), end):
            user_days = self.usage(day, template_indexes)
            if mask is not None:
                user_days = [user_day.clip(mask) for user_day in user_days]
            if self.rollup_delay is not None and not self.rollup_delay.is_complete(day, visible_until):
                user_days = [
                    user_day.clip(self.rollup_delay.visible_mask(day, user_day, visible_until))
                    for user_day in user_days
                ]
            yield day, user_days

    def _template_indexes(self, ids: frozenset[str]) -> frozenset[int]:
        return frozenset(index for index, template in enumerate(self.templates) if template.id in ids)

    def active_users(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> tuple[int, frozenset[int]]:
        """Return the number of distinct users of a range, and the indexes of the templates they used."""
        active_pairs = [
            (user_day.user, user_day.template)
            for _, user_days in self._visible_usage(start, end, now, templates)
            for user_day in user_days
            if user_day.active_mask
        ]
        return len({user for user, _ in active_pairs}), frozenset(template for _, template in active_pairs)

    def parameters(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> list[ParameterRow]:
        """Return the parameter values of the newest build that each workspace has in the range."""
        template_indexes = None if templates is None else self._template_indexes(templates)
        return _parameter_rows(self.newest_builds(start, min(end, now), template_indexes))

    def newest_builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Return the newest build that each workspace has in a range."""
        newest: dict[str, Build] = {}
        for build in self.builds(start, end, templates):
            previous = newest.get(build.workspace_id)
            if previous is None or previous.number < build.number:
                newest[build.workspace_id] = build
        return newest.values()

    def agent_reports(self, start: datetime, end: datetime) -> Iterator[AgentReport]:
        """Yield the agent reports of [start, end) in ascending order of time."""
        for day, first, last in split_days(start, end + timedelta(minutes=1)):
            reports = [
                report
                for user_day in self.usage(day)
                for report in self._agent_reports(day, user_day, minute_mask(first, last))
                if start <= report.created_at < end
            ]
            reports.sort(key=lambda report: (report.created_at, report.id))
            yield from reports

    def _agent_reports(self, day: date, user_day: UserDay, mask: int) -> Iterator[AgentReport]:
        template, user = self.templates[user_day.template], self.users[user_day.user]
        midnight = day_start(day)
        sessions = user_day.session_mask & mask
        workspace, agent = self.workspace_ids(user_day.template, user_day.user)
        while sessions:
            minute = (sessions & -sessions).bit_length() - 1
            sessions &= sessions - 1
            median = user_day.median_latency_ms.get(minute // 30)
            # Both reports of a minute lie symmetrically around the half hour's median, which preserves it.
            # The slower one alternates, so that a reader that samples once a minute sees both.
            spread = (minute * 7919 % 31) / 200 * (1 if minute % 2 else -1)
            open_sessions = {
                family: 1 for family, used in user_day.session_masks.items() if used >> minute & 1
            }
            for second, factor in ((0, 1 - spread), (30, 1 + spread)):
                number = (day.toordinal() * MINUTES_PER_DAY + minute) * 2 + second // 30
                yield AgentReport(
                    f"{user_day.template:04x}{user_day.user:04x}-0000-4000-8000-{number:012x}",
                    midnight + timedelta(minutes=minute, seconds=second),
                    user.id,
                    agent,
                    workspace,
                    template.id,
                    sum(open_sessions.values()),
                    -0.001 if median is None else median * factor,
                    4096 + minute * 37 % 997 * 100,
                    2048 + minute * 53 % 991 * 60,
                    open_sessions,
                )

    def workspace_ids(self, template: int, user: int) -> tuple[str, str]:
        """Return the ids of the workspace of a template and a user, and of its agent."""
        return (
            f"55555555-0000-4000-8000-{template:04x}{user:08x}",
            f"88888888-0000-4000-8000-{template:04x}{user:08x}",
        )


def _last_rollup_time(now: datetime) -> datetime:
    """Return the time of the last rollup run; it runs every five minutes."""
    now = now.astimezone(UTC)
    return now - (now - day_start(now.date())) % ROLLUP_INTERVAL


def _half_hour_masks(
    start: datetime, visible_until: datetime, end: datetime
) -> Iterator[tuple[date, int | None]]:
    """Yield the days of a range with the visible minutes of complete half hours; None is the whole day."""
    half_hour = timedelta(minutes=30)
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    start = epoch + -(-(start - epoch) // half_hour) * half_hour
    end = epoch + (end - epoch) // half_hour * half_hour
    for day, first, last in split_days(start, min(end, visible_until)):
        is_full_day = first == 0 and last == MINUTES_PER_DAY
        yield day, None if is_full_day else minute_mask(first, last)


def _parameter_rows(builds: Iterable[Build]) -> list[ParameterRow]:
    groups: dict[tuple[object, ...], tuple[set[str], dict[str, int]]] = {}
    for build in builds:
        for parameter in build.parameters or build.template.parameters:
            options = tuple(
                (option.name, option.description, option.value, option.icon) for option in parameter.options
            )
            key = (
                parameter.name,
                parameter.type,
                parameter.display_name or parameter.name,
                parameter.description,
                options,
            )
            templates, values = groups.setdefault(key, (set(), {}))
            templates.add(build.template.id)
            value = build.values.get(parameter.name, "")
            values[value] = values.get(value, 0) + 1
    rows = [
        ParameterRow(key[:4], key[4], tuple(sorted(templates)), tuple(sorted(values.items())))  # type: ignore[arg-type] # The key was built just so.
        for key, (templates, values) in groups.items()
    ]
    return sorted(rows, key=lambda row: (row.key, row.options))
