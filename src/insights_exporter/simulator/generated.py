"""A world that makes itself up: any size, always the same for the same seed.

People work on weekdays between morning and evening of their region, take holidays, and differ: some work
long, some rarely, some live far from the relays. Nothing is stored; a day is computed when somebody asks.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from insights_exporter.simulator.cast import Region, cast
from insights_exporter.simulator.dice import chance, pick, scatter
from insights_exporter.simulator.model import Agent, Build, Parameter, Workspace
from insights_exporter.simulator.usage import DAY_MINUTES, UserDay, buckets, day_start, minutes
from insights_exporter.simulator.world import World

__all__ = ["AppOutage", "GeneratedWorld", "Size", "SlowRegion", "generate"]

_CURRENT, _OLD = "v2.35.1+5e7d2c4", "v2.31.0+1b2c3d4"
_HOLIDAYS = frozenset({(1, 1), (5, 1), (12, 24), (12, 25), (12, 26), (12, 31)})
_FLOAT = struct.Struct("f")

_DAY = minutes(0, DAY_MINUTES)
_LONGEST = 90 + 45 + 576 + 75
"""After how many minutes from its region's morning on a working day is over for everybody, at the latest.

These are the latest beginning, the pause before a second workspace, the longest work, and an app's last use.
"""

_Minutes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is; ``active_templates`` of the templates are used at all."""

    templates: int = 8
    users: int = 60
    active_templates: int | None = None


@dataclass(frozen=True, slots=True)
class SlowRegion:
    """From ``start`` to ``end`` round trips of a region take ``factor`` times as long."""

    region: str
    start: datetime
    end: datetime
    factor: float


@dataclass(frozen=True, slots=True)
class AppOutage:
    """From ``start`` to ``end`` nobody can use an app, and it is unhealthy where a template brings it."""

    slug: str
    start: datetime
    end: datetime


@dataclass(slots=True)
class GeneratedWorld(World):
    """See the module; ``incidents`` may be changed while the world runs, followed by ``forget``."""

    seed: int = 1
    regions: Sequence[Region] = ()
    active_templates: int = 0
    incidents: list[SlowRegion | AppOutage] = field(default_factory=list)
    stopped_collecting_at: datetime | None = None
    _choices: dict[tuple[int, int, bool, int], Mapping[str, str]] = field(default_factory=dict, repr=False)

    def use_on(self, day: date) -> Iterable[UserDay]:
        """Make up the day."""
        for user in range(len(self.users)):
            if self.users[user].status == "active":
                for order, template in enumerate(self.homes(user)):
                    row = self._spent(user, template, day, order)
                    if row.used:
                        yield row

    def homes(self, user: int) -> tuple[int, ...]:
        """Return the templates that a user has a workspace of, the main one first."""
        if not self.active_templates:
            return ()
        places = range(self.active_templates)
        first = pick(places, self.seed, 1, user)
        if chance(self.seed, 2, user) < 0.3 and self.active_templates > 1:
            return first, (first + 1 + scatter(self.seed, 3, user) % (self.active_templates - 1)) % len(
                places
            )
        return (first,)

    def _works(self, user: int, day: date) -> bool:
        if (day.month, day.day) in _HOLIDAYS or scatter(
            self.seed, 21, user, day.isocalendar().week
        ) % 13 == 0:
            return False
        diligence = 0.15 + 0.85 * chance(self.seed, 22, user) ** 0.4
        return chance(self.seed, 23, user, day.toordinal()) < (diligence if day.weekday() < 5 else 0.06)

    def _spent(self, user: int, template: int, day: date, order: int) -> UserDay:
        """Return a user's day, and what is left in it of the working day that began on the one before."""
        region = self._region(user)
        agent, apps = self._begun(user, template, day, order)
        if region.morning + _LONGEST > DAY_MINUTES:
            before = self._begun(user, template, day - timedelta(days=1), order)
            agent, apps = (_joined(*parts) for parts in zip((agent, apps), before, strict=True))
        row = UserDay(template, user, self._possible(agent, day), self._possible(apps, day))
        row = replace(row, latency=self._latency(user, region, day, row.used))
        return (
            row
            if self.stopped_collecting_at is None
            else row.within(_before(day, self.stopped_collecting_at))
        )

    def _begun(self, user: int, template: int, day: date, order: int) -> tuple[_Minutes, _Minutes]:
        """Return the sessions and the custom apps of a working day, which may last into the next day."""
        number = day.toordinal()
        if not self._works(user, day) or (order and chance(self.seed, 11, user, number, order) >= 0.35):
            return {}, {}
        morning = self._region(user).morning
        length = int(
            (150 + 330 * chance(self.seed, 32, user)) * (0.5 + 0.7 * chance(self.seed, 33, user, number))
        )
        start = morning + int(90 * chance(self.seed, 31, user, number)) + order * 45
        pause = minutes(start + 210, start + 255, days=2)
        work = minutes(start, start + length // (1 + order), days=2) & ~pause
        apps = {}
        for place, app in enumerate(self.templates[template].apps):
            # The last app of a template is the one that nobody cares for.
            if place < len(self.templates[template].apps) - 1 and chance(self.seed, 41, user, place) < 0.6:
                begin = start + int(length * chance(self.seed, 42, user, number, place))
                end = begin + 5 + int(70 * chance(self.seed, 43, user, number, place))
                apps[app.slug] = minutes(begin, end, days=2)
        return dict(self._kinds(user, number, start, work)), apps

    def _possible(self, used: _Minutes, day: date) -> _Minutes:
        """Return what falls on the day itself, and not into an outage."""
        found = {slug: mask & _DAY & ~self._outage(slug, day) for slug, mask in used.items()}
        return {slug: mask for slug, mask in found.items() if mask}

    def _kinds(self, user: int, number: int, start: int, work: int) -> Iterable[tuple[str, int]]:
        main = pick(("vscode", "vscode", "jetbrains", "ssh"), self.seed, 34, user)
        yield main, work
        begin = start + int(200 * chance(self.seed, 35, user, number))
        shell = minutes(begin, begin + 10 + int(60 * chance(self.seed, 36, user, number)), days=2)
        if main != "ssh" and chance(self.seed, 37, user, number) < 0.4:
            yield "ssh", shell & work
        if chance(self.seed, 38, user, number) < 0.25:
            yield "reconnecting_pty", minutes(begin + 20, begin + 32, days=2)

    def _latency(self, user: int, region: Region, day: date, used: int) -> dict[int, float]:
        if chance(self.seed, 51, user) < 0.04:
            return {}
        base = region.latency_ms * (0.8 + 0.5 * chance(self.seed, 52, user))
        number, found = day.toordinal(), {}
        for bucket, _ in buckets(used):
            noise = chance(self.seed, 53, user, number * 48 + bucket)
            value = base * (0.9 + 0.2 * noise + (1.5 * (noise - 0.97) / 0.03 if noise > 0.97 else 0.0))
            if self.incidents:
                value *= self._slowness(region, day_start(day) + timedelta(minutes=30 * bucket))
            # Coder's column is a real.
            found[bucket] = _FLOAT.unpack(_FLOAT.pack(value))[0]
        return found

    def _slowness(self, region: Region, moment: datetime) -> float:
        """Return how many times as long as ever round trips of a region take."""
        factor = 1.0
        for one in self.incidents:
            if isinstance(one, SlowRegion) and one.region == region.name and one.start <= moment < one.end:
                factor *= one.factor
        return factor

    def _outage(self, slug: str, day: date) -> int:
        out = 0
        for one in self.incidents:
            if isinstance(one, AppOutage) and one.slug == slug:
                out |= _before(day, one.end) & ~_before(day, one.start)
        return out

    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return one workspace per user and template, as its owner's day suggests."""
        now = now.astimezone(UTC)
        spent = {(use.user, use.template): use for use in self.use(now.date())}
        minute = now.hour * 60 + now.minute
        lately = minutes(minute - 120, minute + 1)
        found = []
        for user in range(len(self.users)):
            for template in self.homes(user):
                use = spent.get((user, template))
                awake = use is not None and bool(use.used & lately)
                found.append(self._workspace(user, template, now, awake=awake))
        return found

    def _workspace(self, user: int, template: int, now: datetime, *, awake: bool) -> Workspace:
        identity, agent = self.workspace_ids(template, user)
        owner = self.users[user]
        luck = chance(self.seed, 61, user, template)
        status = "running" if awake or luck < 0.05 else "failed" if luck > 0.98 else "stopped"
        last_used = self.last_seen(user, now)
        idle = owner.status != "active" or (last_used is None or now - last_used > timedelta(days=30))
        return Workspace(
            identity,
            self._workspace_name(user, template),
            owner,
            self.templates[template],
            "stopped" if idle else status,
            "stop" if idle or status == "stopped" else "start",
            owner.created_at,
            last_used,
            now - timedelta(days=5) if idle else None,
            outdated=self._outdated(user, template),
            agents=(self._agent(agent, user, template, now),) if status == "running" and not idle else (),
        )

    def _workspace_name(self, user: int, template: int) -> str:
        """Return a name that the user's other workspace does not have."""
        if template != self.homes(user)[0]:
            return "side"
        return "dev" if user % 3 else "main"

    def _agent(self, identity: str, user: int, template: int, now: datetime) -> Agent:
        region = self._region(user)
        connected = chance(self.seed, 63, user, template) > 0.03
        relay = None
        if connected:
            relay = round(region.relay_ms * (0.9 + 0.3 * chance(self.seed, 64, user)), 3)
            relay *= self._slowness(region, now)
        broken = {
            one.slug for one in self.incidents if isinstance(one, AppOutage) and one.start <= now < one.end
        }
        return Agent(
            identity,
            "main",
            "connected" if connected else "disconnected",
            _OLD if chance(self.seed, 65, user, template) < 0.08 else _CURRENT,
            region.relay,
            relay,
            {
                app.slug: "unhealthy" if app.slug in broken else "healthy"
                for app in self.templates[template].apps
            },
        )

    def builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Yield a build for each working day with a workspace, shortly before its first minute."""
        if end <= start:
            return
        day, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
        while day <= last:
            for use in self.use(day, templates):
                for number, first in self._beginnings(use, day):
                    created = day_start(day) + timedelta(minutes=first, seconds=-40)
                    if start <= created < end:
                        yield self._build(use, number, created)
            day += timedelta(days=1)

    def _beginnings(self, use: UserDay, day: date) -> Iterable[tuple[int, int]]:
        """Yield the number of each working day that begins on a day, and its first minute."""
        morning = self._region(use.user).morning
        early, late = use.used & minutes(0, morning), use.used >> morning
        if early and not self._was_at_work(use, day - timedelta(days=1), morning):
            yield day.toordinal() - 1, _first(early)
        if late:
            yield day.toordinal(), morning + _first(late)

    def _was_at_work(self, use: UserDay, day: date, morning: int) -> bool:
        return any(
            one.user == use.user and one.used >> morning for one in self.use(day, frozenset({use.template}))
        )

    def _build(self, use: UserDay, number: int, created: datetime) -> Build:
        template = self.templates[use.template]
        identity, _ = self.workspace_ids(use.template, use.user)
        old = bool(template.former_parameters) and self._outdated(use.user, use.template)
        declared = template.former_parameters if old else template.parameters
        # People change their mind every few weeks.
        when = (number + use.user) // 45
        choice = (use.user, use.template, old, when)
        if (values := self._choices.get(choice)) is None:
            values = self._choices[choice] = self._values(use.user, declared, when)
        return Build(template, identity, number, created, values, declared)

    def _region(self, user: int) -> Region:
        return self.regions[user % len(self.regions)]

    def _outdated(self, user: int, template: int) -> bool:
        """Say whether a workspace still runs an older version of its template."""
        return chance(self.seed, 62, user, template) < 0.2

    def _values(self, user: int, declared: Sequence[Parameter], when: int) -> dict[str, str]:
        values = {}
        for place, one in enumerate(declared):
            if one.type == "list(string)":
                chosen = [
                    option.value
                    for number, option in enumerate(one.options[:-1])
                    if chance(self.seed, 75, user, place, when, number) < 0.5
                ]
                values[one.name] = json.dumps(chosen, separators=(",", ":"))
            elif one.options:
                # The last option is the one that nobody takes.
                options = one.options[:-1]
                values[one.name] = pick(options, self.seed, 71, user, place, when).value
            elif one.type == "bool":
                values[one.name] = "true" if chance(self.seed, 72, user, place) < 0.3 else "false"
            elif one.type == "number":
                values[one.name] = str(1 << scatter(self.seed, 73, user, place, when) % 4)
            else:
                values[one.name] = (
                    one.default if chance(self.seed, 74, user, place) < 0.7 else f"team-{user % 5}"
                )
        return values

    def last_seen(self, user: int, now: datetime) -> datetime | None:
        """Return the last minute of work in the last three months."""
        if self.users[user].status != "active":
            return self.users[user].created_at + timedelta(days=40)
        now = now.astimezone(UTC)
        for back in range(90):
            day = (now - timedelta(days=back)).date()
            if self._works(user, day):
                region = self._region(user)
                begin = day_start(day) + timedelta(minutes=region.morning + 60)
                if begin <= now:
                    return begin
        return None


def _first(used: int) -> int:
    return (used & -used).bit_length() - 1


def _joined(today: _Minutes, before: _Minutes) -> _Minutes:
    """Return a day's minutes with those of the day before that lie behind its midnight."""
    left = {slug: mask >> DAY_MINUTES for slug, mask in before.items()}
    return {slug: today.get(slug, 0) | left.get(slug, 0) for slug in {**today, **left}}


@lru_cache(maxsize=4096)
def _before(day: date, moment: datetime) -> int:
    """Return the minutes of a day before a moment."""
    return minutes(0, int((moment - day_start(day)).total_seconds() // 60))


def generate(size: Size = Size(), *, seed: int = 1) -> GeneratedWorld:
    """Return a world of that size."""
    organizations, templates, users, regions = cast(size.templates, size.users, seed=seed)
    # One template in four is forgotten, as everywhere.
    used = (
        max(1, size.templates - size.templates // 4)
        if size.active_templates is None
        else size.active_templates
    )
    return GeneratedWorld(
        organizations,
        templates,
        users,
        seed=seed,
        regions=regions,
        active_templates=min(used, len(templates)),
    )
