"""Coder's rollup: aggregates minutes into the numbers of the insights routes.

A row is one half hour of one template and user. Over several templates, each quantity is capped at 30 minutes
per half hour and user. Latencies are percentiles of the half-hour medians. An open is a run of consecutive
half hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeAlias

from insights_exporter.simulator.model import Template
from insights_exporter.simulator.seeded_random import uniform
from insights_exporter.simulator.usage import (
    HALF_HOURS_PER_DAY,
    SESSION_FAMILIES,
    TERMINAL_SLUG,
    UserDay,
    day_start,
    half_hour_counts,
    half_hour_mask,
    minute_mask,
)

__all__ = ["AppKey", "ClientResolver", "RollupDelay", "UsageRollup", "client_from_family", "percentile"]

AppKey = tuple[str, str, str]
"""Slug, display name and icon: Coder's identity of a custom app."""

ClientResolver: TypeAlias = Callable[[str, int], str]
"""Maps a session family and a user index to the client program."""

_MINUTES_PER_HALF_HOUR = 30
_MINUTE = timedelta(minutes=1)


def percentile(sorted_values: list[float], fraction: float) -> float:
    """Return the percentile by linear interpolation, as ``percentile_cont`` does."""
    position = fraction * (len(sorted_values) - 1)
    low = int(position)
    high = min(low + 1, len(sorted_values) - 1)
    return sorted_values[low] + (sorted_values[high] - sorted_values[low]) * (position - low)


def client_from_family(family: str, user: int) -> str:  # noqa: ARG001 # A ClientResolver.
    """Return the family itself: Coder up to v2.35 records no client programs."""
    return family


@dataclass(slots=True)
class UsageRollup:
    """Totals of a range of days; add the days in order."""

    client_resolver: ClientResolver = client_from_family

    template_indexes: set[int] = field(default_factory=set)
    templates_by_user: dict[int, set[int]] = field(default_factory=dict)
    user_minutes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    builtin_minutes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    builtin_templates: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    custom_minutes: dict[AppKey, int] = field(default_factory=lambda: defaultdict(int))
    custom_templates: dict[AppKey, set[int]] = field(default_factory=lambda: defaultdict(set))
    open_counts: dict[AppKey, int] = field(default_factory=lambda: defaultdict(int))
    latencies: dict[int, list[float]] = field(default_factory=dict)
    _open_at_midnight: dict[tuple[int, AppKey], date] = field(default_factory=dict)
    """The last day on which a user's app session reached midnight."""

    def add_day(self, day: date, user_days: Iterable[UserDay], templates: tuple[Template, ...]) -> None:
        """Add the usage of a day, already clipped to the range."""
        by_user: dict[int, list[UserDay]] = defaultdict(list)
        for user_day in user_days:
            if user_day.active_mask:
                by_user[user_day.user].append(user_day)
        for user, rows in by_user.items():
            self._add_user(day, user, rows, templates)

    def _add_user(self, day: date, user: int, rows: list[UserDay], templates: tuple[Template, ...]) -> None:
        used_templates = self.templates_by_user.setdefault(user, set())
        latencies = self.latencies.setdefault(user, [])
        for row in rows:
            self.template_indexes.add(row.template)
            used_templates.add(row.template)
            latencies += row.measured_latencies_ms
        self.user_minutes[user] += _capped_minutes([row.active_mask for row in rows])
        for family in SESSION_FAMILIES:
            masks = [
                (row.template, row.session_masks[family]) for row in rows if row.session_masks.get(family)
            ]
            if masks:
                client = self.client_resolver(family, user)
                self.builtin_minutes[client] += _capped_minutes([mask for _, mask in masks])
                self.builtin_templates[client].update(template for template, _ in masks)
        self._add_custom(day, user, rows, templates)

    def _add_custom(self, day: date, user: int, rows: list[UserDay], templates: tuple[Template, ...]) -> None:
        masks: dict[AppKey, list[int]] = defaultdict(list)
        for row in rows:
            for slug, mask in row.app_masks.items():
                if (key := _app_key(templates[row.template], slug)) is not None and mask:
                    masks[key].append(mask)
                    self.custom_templates[key].add(row.template)
        for key, app_masks in masks.items():
            self.custom_minutes[key] += _capped_minutes(app_masks)
            self.open_counts[key] += self._count_opens(day, user, key, app_masks)

    def _count_opens(self, day: date, user: int, key: AppKey, masks: list[int]) -> int:
        active_half_hours = 0
        for mask in masks:
            active_half_hours |= half_hour_mask(mask)
        carried = self._open_at_midnight.pop((user, key), None) == day - timedelta(days=1)
        if active_half_hours >> (HALF_HOURS_PER_DAY - 1):
            self._open_at_midnight[user, key] = day
        return (active_half_hours & ~((active_half_hours << 1) | carried)).bit_count()

    def latency(self, user: int) -> tuple[float, float]:
        """Return the user's p50 and p95 in milliseconds; -1 without a measurement."""
        sorted_latencies = sorted(self.latencies.get(user, ()))
        if not sorted_latencies:
            return -1.0, -1.0
        return percentile(sorted_latencies, 0.5), percentile(sorted_latencies, 0.95)


def _app_key(template: Template, slug: str) -> AppKey | None:
    if slug == TERMINAL_SLUG:
        return None
    for app in template.apps:
        if app.slug == slug:
            return app.slug, app.display_name, app.icon
    return None


def _capped_minutes(masks: Sequence[int]) -> int:
    if len(masks) == 1:
        return masks[0].bit_count()
    totals: dict[int, int] = defaultdict(int)
    for mask in masks:
        for index, minutes in half_hour_counts(mask):
            totals[index] += minutes
    return sum(min(_MINUTES_PER_HALF_HOUR, total) for total in totals.values())


@dataclass(frozen=True, slots=True)
class RollupDelay:
    """Delays a fraction of all half hours by up to ``max_delay``, as after a lost agent connection.

    The default maximum is Coder's look-back: a rollup run recomputes the last two hours.
    """

    fraction: float = 0.3
    max_delay: timedelta = timedelta(hours=2)
    seed: int = 1

    def is_complete(self, day: date, rollup_time: datetime) -> bool:
        """Return whether the rollup at ``rollup_time`` contains the whole day."""
        return day_start(day) + timedelta(days=1) + self.max_delay <= rollup_time

    def visible_mask(self, day: date, user_day: UserDay, rollup_time: datetime) -> int:
        """Return the minutes of a user's day that the rollup at ``rollup_time`` contains."""
        midnight = day_start(day)
        complete_until, visible_until = (
            (moment - midnight) // _MINUTE for moment in (rollup_time - self.max_delay, rollup_time)
        )
        mask = minute_mask(0, complete_until)
        for bucket, _ in half_hour_counts(user_day.active_mask & minute_mask(complete_until, visible_until)):
            bucket_visible_until = (
                rollup_time - self._bucket_delay(day, user_day, bucket) - midnight
            ) // _MINUTE
            mask |= minute_mask(30 * bucket, min(30 * bucket + 30, bucket_visible_until))
        return mask

    def _bucket_delay(self, day: date, user_day: UserDay, bucket: int) -> timedelta:
        key = user_day.template, user_day.user, day.toordinal() * HALF_HOURS_PER_DAY + bucket
        if uniform(self.seed, 101, *key) >= self.fraction:
            return timedelta()
        return self.max_delay * uniform(self.seed, 102, *key)
