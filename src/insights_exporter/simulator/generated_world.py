"""A generated world of any size; the same seed gives the same history.

Users work on weekdays during the working hours of their region and take holidays. They differ in working
time, frequency and distance to the relays. A day is computed when it is requested.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from insights_exporter.simulator.careers import Career, with_careers
from insights_exporter.simulator.generated_workspaces import (
    generated_agent,
    parameter_values,
    prebuilt_workspaces,
)
from insights_exporter.simulator.incidents import (
    AppOutage,
    Incident,
    SlowRegion,
    latency_factor,
    outage_mask,
)
from insights_exporter.simulator.model import Build, Workspace
from insights_exporter.simulator.population import (
    Region,
    generate_groups,
    generate_population,
    service_account,
)
from insights_exporter.simulator.seeded_random import hash64, uniform, weighted_choice
from insights_exporter.simulator.usage import (
    MINUTES_PER_DAY,
    UserDay,
    day_start,
    first_minute,
    half_hour_counts,
    minute_mask,
    minutes_before,
)
from insights_exporter.simulator.world import World

__all__ = ["AppOutage", "GeneratedWorld", "Size", "SlowRegion", "generate_world"]

_HOLIDAYS = frozenset({(1, 1), (5, 1), (12, 24), (12, 25), (12, 26), (12, 31)})
_FLOAT32 = struct.Struct("f")

_DAY_MASK = minute_mask(0, MINUTES_PER_DAY)
_MAX_WORKDAY_MINUTES = 90 + 45 + 576 + 75
"""The longest possible workday in minutes after the region's start of the workday.

The terms are the latest start, the delay of a second workspace, the longest work, and the last use of an app.
"""

_MinuteMasks = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a world; ``active_templates`` is the number of templates with usage."""

    templates: int = 8
    users: int = 60
    active_templates: int | None = None


@dataclass(slots=True)
class GeneratedWorld(World):
    """A generated world; after a change of ``incidents`` call ``clear_caches``.

    ``careers`` holds the users who joined or left recently by index.
    """

    seed: int = 1
    regions: Sequence[Region] = ()
    active_templates: int = 0
    incidents: list[Incident] = field(default_factory=list)
    careers: Mapping[int, Career] = field(default_factory=dict)
    usage_stats_disabled_at: datetime | None = None
    _parameter_cache: dict[tuple[int, int, bool, int], Mapping[str, str]] = field(
        default_factory=dict, repr=False
    )

    def usage_on(self, day: date) -> Iterable[UserDay]:
        """Generate the usage of the day."""
        for user in range(len(self.users)):
            if self.users[user].status == "active":
                for order, template in enumerate(self.templates_of(user)):
                    user_day = self._user_day(user, template, day, order)
                    if user_day.active_mask:
                        yield user_day

    def templates_of(self, user: int) -> tuple[int, ...]:
        """Return the indexes of the templates of a user's workspaces, the main one first."""
        career = self.careers.get(user)
        if not self.active_templates or (career is not None and not career.has_workspace):
            return ()
        template_indexes = range(self.active_templates)
        first = weighted_choice(template_indexes, self.seed, 1, user)
        if uniform(self.seed, 2, user) < 0.3 and self.active_templates > 1:
            return first, (first + 1 + hash64(self.seed, 3, user) % (self.active_templates - 1)) % len(
                template_indexes
            )
        return (first,)

    def _is_workday(self, user: int, day: date) -> bool:
        career = self.careers.get(user)
        if career is not None and not career.works_on(day):
            return False
        if (day.month, day.day) in _HOLIDAYS or hash64(self.seed, 21, user, day.isocalendar().week) % 13 == 0:
            return False
        diligence = 0.15 + 0.85 * uniform(self.seed, 22, user) ** 0.4
        return uniform(self.seed, 23, user, day.toordinal()) < (diligence if day.weekday() < 5 else 0.06)

    def _user_day(self, user: int, template: int, day: date, order: int) -> UserDay:
        """Return a user's day, including the part of the previous workday after midnight."""
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
            else user_day.clip(minutes_before(day, self.usage_stats_disabled_at))
        )

    def _workday_masks(
        self, user: int, template: int, day: date, order: int
    ) -> tuple[_MinuteMasks, _MinuteMasks]:
        """Return the sessions and custom apps of a workday, which may extend into the next day."""
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
        apps = [app for app in self.templates[template].apps if not app.external]
        for index, app in enumerate(apps):
            # The last app of a template stays unused.
            if index < len(apps) - 1 and uniform(self.seed, 41, user, index) < 0.6:
                app_start = start + int(length * uniform(self.seed, 42, user, day_number, index))
                app_end = app_start + 5 + int(70 * uniform(self.seed, 43, user, day_number, index))
                app_masks[app.slug] = minute_mask(app_start, app_end, days=2)
        return dict(self._session_masks(user, day_number, start, work_mask)), app_masks

    def _clip_to_day(self, masks: _MinuteMasks, day: date) -> _MinuteMasks:
        """Return the minutes on the day itself, without outages."""
        clipped = {
            slug: mask & _DAY_MASK & ~outage_mask(self.incidents, slug, day) for slug, mask in masks.items()
        }
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
                value *= latency_factor(
                    self.incidents, region.name, day_start(day) + timedelta(minutes=30 * bucket)
                )
            # Coder's column has single precision.
            latency_by_half_hour[bucket] = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
        return latency_by_half_hour

    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return one workspace per user and template, then the prebuilt ones.

        A workspace runs during its owner's usage. The first dormant one runs too: Coder allows that.
        """
        now = now.astimezone(UTC)
        usage_today = {(user_day.user, user_day.template): user_day for user_day in self.usage(now.date())}
        minute = now.hour * 60 + now.minute
        recent_mask = minute_mask(minute - 120, minute + 1)
        result: list[Workspace] = []
        has_dormant = False
        for user in range(len(self.users)):
            for template in self.templates_of(user):
                user_day = usage_today.get((user, template))
                is_active = user_day is not None and bool(user_day.active_mask & recent_mask)
                workspace = self._workspace(
                    user, template, now, is_active=is_active, runs_dormant=not has_dormant
                )
                has_dormant = has_dormant or workspace.dormant_at is not None
                result.append(workspace)
        return [*result, *prebuilt_workspaces(self.templates[: self.active_templates], now)]

    def _workspace(
        self, user: int, template_index: int, now: datetime, *, is_active: bool, runs_dormant: bool = False
    ) -> Workspace:
        workspace_id, agent_id = self.workspace_ids(template_index, user)
        owner, template = self.users[user], self.templates[template_index]
        last_used = self.last_seen(user, now)
        is_dormant = owner.status != "active" or last_used is None or now - last_used > timedelta(days=30)
        dormant_at = now - timedelta(days=5) if is_dormant else None
        random_value = uniform(self.seed, 61, user, template_index)
        is_running = runs_dormant if is_dormant else is_active or random_value < 0.05
        status = (
            "running"
            if is_running
            else "failed"
            if random_value > 1 - template.failure_rate and not is_dormant
            else "stopped"
        )
        agent = generated_agent(
            agent_id,
            template=template,
            region=self._region(user),
            incidents=self.incidents,
            now=now,
            keys=(self.seed, user, template_index),
        )
        deadline = None
        if is_running and template.default_ttl and uniform(self.seed, 66, user, template_index) > 0.1:
            deadline = now.replace(minute=0, second=0, microsecond=0) + template.default_ttl
        return Workspace(
            workspace_id,
            self._workspace_name(user, template_index),
            owner,
            template,
            status,
            "stop" if status == "stopped" else "start",
            owner.created_at,
            last_used,
            dormant_at,
            outdated=self._is_outdated(user, template_index),
            agents=(agent,) if is_running else (),
            # Every second template deletes dormant workspaces.
            deleting_at=dormant_at + timedelta(days=10) if dormant_at and template_index % 2 == 0 else None,
            deadline=deadline,
            # A stopped workspace keeps its disk.
            daily_cost=template.daily_cost if is_running else template.daily_cost // 5,
        )

    def _workspace_name(self, user: int, template: int) -> str:
        """Return a name that differs from that of the user's other workspace."""
        if template != self.templates_of(user)[0]:
            return "side"
        return "dev" if user % 3 else "main"

    def builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Yield one build per workday and workspace, 40 seconds before its first minute.

        A build that fails precedes some of them by five minutes.
        """
        if end <= start:
            return
        day, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
        while day <= last:
            for user_day in self.usage(day, templates):
                for workday_number, start_minute in self._workday_starts(user_day, day):
                    created = day_start(day) + timedelta(minutes=start_minute, seconds=-40)
                    build = self._build(user_day, workday_number, created)
                    if start <= created < end:
                        yield build
                    created -= timedelta(minutes=5)
                    if start <= created < end and self._fails_first(user_day, workday_number):
                        yield replace(build, number=build.number - 1, created_at=created, is_failed=True)
            day += timedelta(days=1)

    def _workday_starts(self, user_day: UserDay, day: date) -> Iterable[tuple[int, int]]:
        """Yield the ordinal of each workday that begins on a day, and its first minute."""
        workday_start = self._region(user_day.user).workday_start_minute
        mask_before_start, mask_after_start = (
            user_day.active_mask & minute_mask(0, workday_start),
            user_day.active_mask >> workday_start,
        )
        if mask_before_start and not self._worked_since(user_day, day - timedelta(days=1), workday_start):
            yield day.toordinal() - 1, first_minute(mask_before_start)
        if mask_after_start:
            yield day.toordinal(), workday_start + first_minute(mask_after_start)

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
        # Users choose new values every 45 days.
        period = (workday_number + user_day.user) // 45
        cache_key = (user_day.user, user_day.template, is_outdated, period)
        if (values := self._parameter_cache.get(cache_key)) is None:
            values = self._parameter_cache[cache_key] = parameter_values(
                self.seed, user_day.user, parameters, period
            )
        median, _ = template.build_ms.get("start", (60_000, 120_000))
        seconds = median / 1000 * (0.7 + 0.8 * uniform(self.seed, 67, user_day.user, workday_number))
        # Odd numbers are left to builds that fail.
        return Build(template, workspace_id, 2 * workday_number, created, values, parameters, seconds=seconds)

    def _fails_first(self, user_day: UserDay, workday_number: int) -> bool:
        keys = user_day.user, user_day.template, workday_number
        return uniform(self.seed, 68, *keys) < self.templates[user_day.template].failure_rate

    def _region(self, user: int) -> Region:
        return self.regions[user % len(self.regions)]

    def _is_outdated(self, user: int, template: int) -> bool:
        """Return whether a workspace runs an older version of its template."""
        return uniform(self.seed, 62, user, template) < 0.2

    def last_seen(self, user: int, now: datetime) -> datetime | None:
        """Return the start of the last workday within 90 days; None without one.

        A new user who does not work was last seen when the account was created, or never.
        """
        career = self.careers.get(user)
        if career is not None and not career.works:
            return career.joined_at if career.signs_in else None
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


def _merge_overnight(today: _MinuteMasks, previous_day: _MinuteMasks) -> _MinuteMasks:
    """Return the minutes of a day, including those of the previous workday after midnight."""
    overnight = {slug: mask >> MINUTES_PER_DAY for slug, mask in previous_day.items()}
    return {slug: today.get(slug, 0) | overnight.get(slug, 0) for slug in {**today, **overnight}}


def generate_world(
    size: Size = Size(), *, seed: int = 1, today: date | None = None, joined: int = 0, left: int = 0
) -> GeneratedWorld:
    """Return a world of that size; ``joined`` users are new and ``left`` ones stopped before ``today``."""
    organizations, templates, users, regions = generate_population(size.templates, size.users, seed=seed)
    careers: Mapping[int, Career] = {}
    if today is not None:
        users, careers = with_careers(users, today, joined=joined, left=left)
    # One template in four has no usage.
    active_count = (
        max(1, size.templates - size.templates // 4)
        if size.active_templates is None
        else size.active_templates
    )
    return GeneratedWorld(
        organizations,
        templates,
        users,
        service_accounts=(service_account(organizations),),
        groups=generate_groups(organizations, users, seed=seed),
        seed=seed,
        regions=regions,
        careers=careers,
        active_templates=min(active_count, len(templates)),
    )
