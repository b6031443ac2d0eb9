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

from insights_exporter.simulator.model import Agent, Build, Parameter, Workspace
from insights_exporter.simulator.population import Region, generate_population
from insights_exporter.simulator.seeded_random import hash64, uniform, weighted_choice
from insights_exporter.simulator.usage import (
    MINUTES_PER_DAY,
    UserDay,
    day_start,
    half_hour_counts,
    minute_mask,
)
from insights_exporter.simulator.world import World

__all__ = ["AppOutage", "GeneratedWorld", "Size", "SlowRegion", "generate_world"]

_CURRENT_VERSION, _OLD_VERSION = "v2.35.1+5e7d2c4", "v2.31.0+1b2c3d4"
_HOLIDAYS = frozenset({(1, 1), (5, 1), (12, 24), (12, 25), (12, 26), (12, 31)})
_FLOAT32 = struct.Struct("f")

_DAY_MASK = minute_mask(0, MINUTES_PER_DAY)
_MAX_WORKDAY_MINUTES = 90 + 45 + 576 + 75
"""After how many minutes from its region's morning on a working day is over for everybody, at the latest.

These are the latest beginning, the pause before a second workspace, the longest work, and an app's last use.
"""

_MinuteMasks = Mapping[str, int]


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
    usage_stats_disabled_at: datetime | None = None
    _parameter_cache: dict[tuple[int, int, bool, int], Mapping[str, str]] = field(
        default_factory=dict, repr=False
    )

    def usage_on(self, day: date) -> Iterable[UserDay]:
        """Make up the day."""
        for user in range(len(self.users)):
            if self.users[user].status == "active":
                for order, template in enumerate(self.templates_of(user)):
                    user_day = self._user_day(user, template, day, order)
                    if user_day.active_mask:
                        yield user_day

    def templates_of(self, user: int) -> tuple[int, ...]:
        """Return the templates that a user has a workspace of, the main one first."""
        if not self.active_templates:
            return ()
        template_indexes = range(self.active_templates)
        first = weighted_choice(template_indexes, self.seed, 1, user)
        if uniform(self.seed, 2, user) < 0.3 and self.active_templates > 1:
            return first, (first + 1 + hash64(self.seed, 3, user) % (self.active_templates - 1)) % len(
                template_indexes
            )
        return (first,)

    def _is_workday(self, user: int, day: date) -> bool:
        if (day.month, day.day) in _HOLIDAYS or hash64(self.seed, 21, user, day.isocalendar().week) % 13 == 0:
            return False
        diligence = 0.15 + 0.85 * uniform(self.seed, 22, user) ** 0.4
        return uniform(self.seed, 23, user, day.toordinal()) < (diligence if day.weekday() < 5 else 0.06)

    def _user_day(self, user: int, template: int, day: date, order: int) -> UserDay:
        """Return a user's day, and what is left in it of the working day that began on the one before."""
        region = self._region(user)
        session_masks, app_masks = self._workday_masks(user, template, day, order)
        if region.workday_start_minute + _MAX_WORKDAY_MINUTES > MINUTES_PER_DAY:
            previous_day = self._workday_masks(user, template, day - timedelta(days=1), order)
            session_masks, app_masks = (
                _merge_overnight(*masks)
                for masks in zip((session_masks, app_masks), previous_day, strict=True)
            )
        user_day = UserDay(
            template, user, self._clip_to_day(session_masks, day), self._clip_to_day(app_masks, day)
        )
        user_day = replace(
            user_day, median_latency_ms=self._half_hour_latency(user, region, day, user_day.active_mask)
        )
        return (
            user_day
            if self.usage_stats_disabled_at is None
            else user_day.clip(_minutes_before(day, self.usage_stats_disabled_at))
        )

    def _workday_masks(
        self, user: int, template: int, day: date, order: int
    ) -> tuple[_MinuteMasks, _MinuteMasks]:
        """Return the sessions and the custom apps of a working day, which may last into the next day."""
        day_number = day.toordinal()
        if not self._is_workday(user, day) or (
            order and uniform(self.seed, 11, user, day_number, order) >= 0.35
        ):
            return {}, {}
        workday_start = self._region(user).workday_start_minute
        length = int(
            (150 + 330 * uniform(self.seed, 32, user))
            * (0.5 + 0.7 * uniform(self.seed, 33, user, day_number))
        )
        start = workday_start + int(90 * uniform(self.seed, 31, user, day_number)) + order * 45
        break_mask = minute_mask(start + 210, start + 255, days=2)
        work_mask = minute_mask(start, start + length // (1 + order), days=2) & ~break_mask
        app_masks = {}
        for index, app in enumerate(self.templates[template].apps):
            # The last app of a template is the one that nobody cares for.
            if index < len(self.templates[template].apps) - 1 and uniform(self.seed, 41, user, index) < 0.6:
                app_start = start + int(length * uniform(self.seed, 42, user, day_number, index))
                app_end = app_start + 5 + int(70 * uniform(self.seed, 43, user, day_number, index))
                app_masks[app.slug] = minute_mask(app_start, app_end, days=2)
        return dict(self._session_masks(user, day_number, start, work_mask)), app_masks

    def _clip_to_day(self, masks: _MinuteMasks, day: date) -> _MinuteMasks:
        """Return what falls on the day itself, and not into an outage."""
        clipped = {slug: mask & _DAY_MASK & ~self._outage_mask(slug, day) for slug, mask in masks.items()}
        return {slug: mask for slug, mask in clipped.items() if mask}

    def _session_masks(
        self, user: int, day_number: int, start: int, work_mask: int
    ) -> Iterable[tuple[str, int]]:
        main_family = weighted_choice(("vscode", "vscode", "jetbrains", "ssh"), self.seed, 34, user)
        yield main_family, work_mask
        session_start = start + int(200 * uniform(self.seed, 35, user, day_number))
        ssh_mask = minute_mask(
            session_start, session_start + 10 + int(60 * uniform(self.seed, 36, user, day_number)), days=2
        )
        if main_family != "ssh" and uniform(self.seed, 37, user, day_number) < 0.4:
            yield "ssh", ssh_mask & work_mask
        if uniform(self.seed, 38, user, day_number) < 0.25:
            yield "reconnecting_pty", minute_mask(session_start + 20, session_start + 32, days=2)

    def _half_hour_latency(self, user: int, region: Region, day: date, active_mask: int) -> dict[int, float]:
        if uniform(self.seed, 51, user) < 0.04:
            return {}
        base = region.latency_ms * (0.8 + 0.5 * uniform(self.seed, 52, user))
        day_number, latency_by_half_hour = day.toordinal(), {}
        for bucket, _ in half_hour_counts(active_mask):
            noise = uniform(self.seed, 53, user, day_number * 48 + bucket)
            value = base * (0.9 + 0.2 * noise + (1.5 * (noise - 0.97) / 0.03 if noise > 0.97 else 0.0))
            if self.incidents:
                value *= self._latency_factor(region, day_start(day) + timedelta(minutes=30 * bucket))
            # Coder's column is a real.
            latency_by_half_hour[bucket] = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
        return latency_by_half_hour

    def _latency_factor(self, region: Region, moment: datetime) -> float:
        """Return how many times as long as ever round trips of a region take."""
        factor = 1.0
        for incident in self.incidents:
            if (
                isinstance(incident, SlowRegion)
                and incident.region == region.name
                and incident.start <= moment < incident.end
            ):
                factor *= incident.factor
        return factor

    def _outage_mask(self, slug: str, day: date) -> int:
        mask = 0
        for incident in self.incidents:
            if isinstance(incident, AppOutage) and incident.slug == slug:
                mask |= _minutes_before(day, incident.end) & ~_minutes_before(day, incident.start)
        return mask

    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return one workspace per user and template, as its owner's day suggests."""
        now = now.astimezone(UTC)
        usage_today = {(user_day.user, user_day.template): user_day for user_day in self.usage(now.date())}
        minute = now.hour * 60 + now.minute
        recent_mask = minute_mask(minute - 120, minute + 1)
        result = []
        for user in range(len(self.users)):
            for template in self.templates_of(user):
                user_day = usage_today.get((user, template))
                is_active = user_day is not None and bool(user_day.active_mask & recent_mask)
                result.append(self._workspace(user, template, now, is_active=is_active))
        return result

    def _workspace(self, user: int, template: int, now: datetime, *, is_active: bool) -> Workspace:
        workspace_id, agent_id = self.workspace_ids(template, user)
        owner = self.users[user]
        random_value = uniform(self.seed, 61, user, template)
        status = (
            "running" if is_active or random_value < 0.05 else "failed" if random_value > 0.98 else "stopped"
        )
        last_used = self.last_seen(user, now)
        is_dormant = owner.status != "active" or (last_used is None or now - last_used > timedelta(days=30))
        return Workspace(
            workspace_id,
            self._workspace_name(user, template),
            owner,
            self.templates[template],
            "stopped" if is_dormant else status,
            "stop" if is_dormant or status == "stopped" else "start",
            owner.created_at,
            last_used,
            now - timedelta(days=5) if is_dormant else None,
            outdated=self._is_outdated(user, template),
            agents=(self._agent(agent_id, user, template, now),)
            if status == "running" and not is_dormant
            else (),
        )

    def _workspace_name(self, user: int, template: int) -> str:
        """Return a name that the user's other workspace does not have."""
        if template != self.templates_of(user)[0]:
            return "side"
        return "dev" if user % 3 else "main"

    def _agent(self, agent_id: str, user: int, template: int, now: datetime) -> Agent:
        region = self._region(user)
        connected = uniform(self.seed, 63, user, template) > 0.03
        relay_latency = None
        if connected:
            relay_latency = round(region.relay_latency_ms * (0.9 + 0.3 * uniform(self.seed, 64, user)), 3)
            relay_latency *= self._latency_factor(region, now)
        unhealthy_apps = {
            incident.slug
            for incident in self.incidents
            if isinstance(incident, AppOutage) and incident.start <= now < incident.end
        }
        return Agent(
            agent_id,
            "main",
            "connected" if connected else "disconnected",
            _OLD_VERSION if uniform(self.seed, 65, user, template) < 0.08 else _CURRENT_VERSION,
            region.relay,
            relay_latency,
            {
                app.slug: "unhealthy" if app.slug in unhealthy_apps else "healthy"
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
            for user_day in self.usage(day, templates):
                for workday_number, first_minute in self._workday_starts(user_day, day):
                    created = day_start(day) + timedelta(minutes=first_minute, seconds=-40)
                    if start <= created < end:
                        yield self._build(user_day, workday_number, created)
            day += timedelta(days=1)

    def _workday_starts(self, user_day: UserDay, day: date) -> Iterable[tuple[int, int]]:
        """Yield the number of each working day that begins on a day, and its first minute."""
        workday_start = self._region(user_day.user).workday_start_minute
        mask_before_start, mask_after_start = (
            user_day.active_mask & minute_mask(0, workday_start),
            user_day.active_mask >> workday_start,
        )
        if mask_before_start and not self._worked_since(user_day, day - timedelta(days=1), workday_start):
            yield day.toordinal() - 1, _first_minute(mask_before_start)
        if mask_after_start:
            yield day.toordinal(), workday_start + _first_minute(mask_after_start)

    def _worked_since(self, user_day: UserDay, day: date, workday_start: int) -> bool:
        return any(
            candidate.user == user_day.user and candidate.active_mask >> workday_start
            for candidate in self.usage(day, frozenset({user_day.template}))
        )

    def _build(self, user_day: UserDay, workday_number: int, created: datetime) -> Build:
        template = self.templates[user_day.template]
        workspace_id, _ = self.workspace_ids(user_day.template, user_day.user)
        is_outdated = bool(template.previous_parameters) and self._is_outdated(
            user_day.user, user_day.template
        )
        parameters = template.previous_parameters if is_outdated else template.parameters
        # People change their mind every few weeks.
        period = (workday_number + user_day.user) // 45
        cache_key = (user_day.user, user_day.template, is_outdated, period)
        if (values := self._parameter_cache.get(cache_key)) is None:
            values = self._parameter_cache[cache_key] = self._parameter_values(
                user_day.user, parameters, period
            )
        return Build(template, workspace_id, workday_number, created, values, parameters)

    def _region(self, user: int) -> Region:
        return self.regions[user % len(self.regions)]

    def _is_outdated(self, user: int, template: int) -> bool:
        """Say whether a workspace still runs an older version of its template."""
        return uniform(self.seed, 62, user, template) < 0.2

    def _parameter_values(self, user: int, parameters: Sequence[Parameter], period: int) -> dict[str, str]:
        values = {}
        for index, parameter in enumerate(parameters):
            if parameter.type == "list(string)":
                selected = [
                    option.value
                    for number, option in enumerate(parameter.options[:-1])
                    if uniform(self.seed, 75, user, index, period, number) < 0.5
                ]
                values[parameter.name] = json.dumps(selected, separators=(",", ":"))
            elif parameter.options:
                # The last option is the one that nobody takes.
                options = parameter.options[:-1]
                values[parameter.name] = weighted_choice(options, self.seed, 71, user, index, period).value
            elif parameter.type == "bool":
                values[parameter.name] = "true" if uniform(self.seed, 72, user, index) < 0.3 else "false"
            elif parameter.type == "number":
                values[parameter.name] = str(1 << hash64(self.seed, 73, user, index, period) % 4)
            else:
                values[parameter.name] = (
                    parameter.default if uniform(self.seed, 74, user, index) < 0.7 else f"team-{user % 5}"
                )
        return values

    def last_seen(self, user: int, now: datetime) -> datetime | None:
        """Return the last minute of work in the last three months."""
        if self.users[user].status != "active":
            return self.users[user].created_at + timedelta(days=40)
        now = now.astimezone(UTC)
        for days_ago in range(90):
            day = (now - timedelta(days=days_ago)).date()
            if self._is_workday(user, day):
                region = self._region(user)
                seen_at = day_start(day) + timedelta(minutes=region.workday_start_minute + 60)
                if seen_at <= now:
                    return seen_at
        return None


def _first_minute(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _merge_overnight(today: _MinuteMasks, previous_day: _MinuteMasks) -> _MinuteMasks:
    """Return a day's minutes with those of the day before that lie behind its midnight."""
    overnight = {slug: mask >> MINUTES_PER_DAY for slug, mask in previous_day.items()}
    return {slug: today.get(slug, 0) | overnight.get(slug, 0) for slug in {**today, **overnight}}


@lru_cache(maxsize=4096)
def _minutes_before(day: date, moment: datetime) -> int:
    """Return the minutes of a day before a moment."""
    return minute_mask(0, int((moment - day_start(day)).total_seconds() // 60))


def generate_world(size: Size = Size(), *, seed: int = 1) -> GeneratedWorld:
    """Return a world of that size."""
    organizations, templates, users, regions = generate_population(size.templates, size.users, seed=seed)
    # One template in four is forgotten, as everywhere.
    active_count = (
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
        active_templates=min(active_count, len(templates)),
    )
