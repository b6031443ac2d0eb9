"""A deployment with a past: what exists, and who used what when.

A world knows no clock. Whoever asks says when "now" is, and sees what had been rolled up by then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from threading import Lock

from insights_exporter.simulator.lateness import Lateness
from insights_exporter.simulator.model import AgentReport, Build, Organization, Template, User, Workspace
from insights_exporter.simulator.report import ClientOf, Report, family_alone
from insights_exporter.simulator.usage import DAY_MINUTES, UserDay, day_start, minutes, split_days

__all__ = ["ParameterRow", "World"]

ROLLUP = timedelta(minutes=5)
DAYS_KEPT = 120
REPORTS_KEPT = 16


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A parameter with how many workspaces have each value."""

    key: tuple[str, str, str, str]
    """Name, type, display name and description."""
    options: tuple[tuple[str, str, str, str], ...]
    """Name, description, value and icon of each."""
    templates: tuple[str, ...]
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Day:
    """A day's use, as a whole and by the place of the template: most questions are on one of many."""

    uses: tuple[UserDay, ...]
    by_template: Mapping[int, Sequence[UserDay]]

    @classmethod
    def of(cls, uses: Iterable[UserDay]) -> _Day:
        """Return the day with its use sorted."""
        known, by_template = tuple(uses), defaultdict[int, list[UserDay]](list)
        for use in known:
            by_template[use.template].append(use)
        return cls(known, dict(by_template))

    def among(self, templates: frozenset[int] | None) -> Sequence[UserDay]:
        """Return the use of some templates, or of all."""
        if templates is None:
            return self.uses
        return [
            use for place in sorted(templates & self.by_template.keys()) for use in self.by_template[place]
        ]


@dataclass(slots=True)
class World(ABC):
    """Organizations, templates and users, and the use that subclasses tell of.

    ``templates`` and ``users`` are referred to by their place. ``collecting`` says whether usage statistics
    are switched on, ``lateness`` which use the rollup learns of late.
    """

    organizations: Sequence[Organization]
    templates: tuple[Template, ...]
    users: tuple[User, ...]
    collecting: bool = True
    lateness: Lateness | None = None
    _days: OrderedDict[date, _Day] = field(default_factory=OrderedDict, repr=False)
    _ranges: OrderedDict[tuple[object, ...], Report] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @abstractmethod
    def use_on(self, day: date) -> Iterable[UserDay]:
        """Return all use of a UTC day, also of its part that is still to come."""

    @abstractmethod
    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return the workspaces as they are at a moment."""

    @abstractmethod
    def builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Return the builds created in a range, of some templates or of all."""

    @abstractmethod
    def last_seen(self, user: int, now: datetime) -> datetime | None:
        """Return when a user was last seen; None for never."""

    def use(self, day: date, templates: frozenset[int] | None = None) -> Sequence[UserDay]:
        """Return a day's use of some templates, or of all, from memory where it is known."""
        with self._lock:
            known = self._days.get(day)
            if known is None:
                known = self._days[day] = _Day.of(self.use_on(day))
                if len(self._days) > DAYS_KEPT:
                    self._days.popitem(last=False)
            else:
                self._days.move_to_end(day)
        return known.among(templates)

    def forget(self) -> None:
        """Compute everything anew, after the past was changed."""
        self._days.clear()
        self._ranges.clear()

    def report(
        self,
        start: datetime,
        end: datetime,
        *,
        now: datetime,
        templates: frozenset[str] | None = None,
        client: ClientOf = family_alone,
    ) -> Report:
        """Return what the rollup knew at ``now`` of a range; of all templates where none are named.

        Several routes are asked about the same range one after the other, so it is remembered for a while.
        """
        key = (start, end, _last_rollup(now), templates, client, self.lateness)
        with self._lock:
            if (known := self._ranges.get(key)) is not None:
                return known
        report = Report(client=client)
        for day, uses in self._rolled_up(start, end, now, templates):
            report.add(day, uses, self.templates)
        with self._lock:
            self._ranges[key] = report
            if len(self._ranges) > REPORTS_KEPT:
                self._ranges.popitem(last=False)
        return report

    def _rolled_up(
        self, start: datetime, end: datetime, now: datetime, templates: frozenset[str] | None
    ) -> Iterator[tuple[date, Sequence[UserDay]]]:
        """Yield what the rollup knew at ``now`` of each day of a range."""
        wanted = None if templates is None else self._places(templates)
        known = _last_rollup(now)
        for day, mask in _half_hours(start, min(end, known), end):
            uses = self.use(day, wanted)
            if mask is not None:
                uses = [use.within(mask) for use in uses]
            if self.lateness is not None and not self.lateness.settled(day, known):
                uses = [use.within(self.lateness.seen(day, use, known)) for use in uses]
            yield day, uses

    def _places(self, ids: frozenset[str]) -> frozenset[int]:
        return frozenset(place for place, template in enumerate(self.templates) if template.id in ids)

    def active_users(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> tuple[int, frozenset[int]]:
        """Return the number of distinct users of a range, and the templates they used."""
        found = [
            (use.user, use.template)
            for _, uses in self._rolled_up(start, end, now, templates)
            for use in uses
            if use.used
        ]
        return len({user for user, _ in found}), frozenset(template for _, template in found)

    def parameters(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> list[ParameterRow]:
        """Return the values in the newest build of each workspace that was built in the range."""
        newest: dict[str, Build] = {}
        wanted = None if templates is None else self._places(templates)
        for build in self.builds(start, min(end, now), wanted):
            known = newest.get(build.workspace_id)
            if known is None or known.number < build.number:
                newest[build.workspace_id] = build
        return _parameter_rows(newest.values())

    def agent_reports(self, start: datetime, end: datetime) -> Iterator[AgentReport]:
        """Yield what agents reported in [start, end), in the order of time within each day."""
        for day, first, last in split_days(start, end + timedelta(minutes=1)):
            reports = [
                one
                for use in self.use(day)
                for one in self._reports(day, use, minutes(first, last))
                if start <= one.created_at < end
            ]
            reports.sort(key=lambda one: (one.created_at, one.id))
            yield from reports

    def _reports(self, day: date, use: UserDay, mask: int) -> Iterator[AgentReport]:
        template, user = self.templates[use.template], self.users[use.user]
        midnight = day_start(day)
        sessions = use.sessions & mask
        workspace, agent = self.workspace_ids(use.template, use.user)
        while sessions:
            minute = (sessions & -sessions).bit_length() - 1
            sessions &= sessions - 1
            median = use.latency.get(minute // 30)
            # Pairs lie evenly around the half hour's median, so that it stays the median. Which of the two is
            # the slower one changes, so that whoever looks once a minute sees both kinds.
            spread = (minute * 7919 % 31) / 200 * (1 if minute % 2 else -1)
            open_now = {family: 1 for family, used in use.agent.items() if used >> minute & 1}
            for half, factor in ((0, 1 - spread), (30, 1 + spread)):
                number = (day.toordinal() * DAY_MINUTES + minute) * 2 + half // 30
                yield AgentReport(
                    f"{use.template:04x}{use.user:04x}-0000-4000-8000-{number:012x}",
                    midnight + timedelta(minutes=minute, seconds=half),
                    user.id,
                    agent,
                    workspace,
                    template.id,
                    sum(open_now.values()),
                    -0.001 if median is None else median * factor,
                    4096 + minute * 37 % 997 * 100,
                    2048 + minute * 53 % 991 * 60,
                    open_now,
                )

    def workspace_ids(self, template: int, user: int) -> tuple[str, str]:
        """Return the ids of a user's workspace of a template, and of its agent."""
        return (
            f"55555555-0000-4000-8000-{template:04x}{user:08x}",
            f"88888888-0000-4000-8000-{template:04x}{user:08x}",
        )


def _last_rollup(now: datetime) -> datetime:
    """Return up to when the rollup has come; it runs every five minutes."""
    now = now.astimezone(UTC)
    return now - (now - day_start(now.date())) % ROLLUP


def _half_hours(start: datetime, known: datetime, end: datetime) -> Iterator[tuple[date, int | None]]:
    """Yield the days of a range with the known minutes of the half hours wholly inside; None is all."""
    half = timedelta(minutes=30)
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    start = epoch + -(-(start - epoch) // half) * half
    end = epoch + (end - epoch) // half * half
    for day, first, last in split_days(start, min(end, known)):
        whole = first == 0 and last == DAY_MINUTES
        yield day, None if whole else minutes(first, last)


def _parameter_rows(builds: Iterable[Build]) -> list[ParameterRow]:
    groups: dict[tuple[object, ...], tuple[set[str], dict[str, int]]] = {}
    for build in builds:
        for one in build.parameters or build.template.parameters:
            options = tuple((o.name, o.description, o.value, o.icon) for o in one.options)
            key = (one.name, one.type, one.display_name or one.name, one.description, options)
            templates, values = groups.setdefault(key, (set(), {}))
            templates.add(build.template.id)
            value = build.values.get(one.name, "")
            values[value] = values.get(value, 0) + 1
    rows = [
        ParameterRow(key[:4], key[4], tuple(sorted(templates)), tuple(sorted(values.items())))  # type: ignore[arg-type] # The key was built just so.
        for key, (templates, values) in groups.items()
    ]
    return sorted(rows, key=lambda row: (row.key, row.options))
