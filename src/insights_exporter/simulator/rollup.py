"""Coder's rollup: from minutes to the numbers of the insights routes.

Rows are half hours per template and user. Over several templates, each quantity is at most 30 minutes per
half hour and user; latencies are percentiles over the medians of half hours; opens are runs of half hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeAlias

from insights_exporter.simulator.model import Template
from insights_exporter.simulator.usage import (
    HALF_HOURS_PER_DAY,
    SESSION_FAMILIES,
    TERMINAL_SLUG,
    UserDay,
    half_hour_counts,
    half_hour_mask,
)

__all__ = ["AppKey", "ClientResolver", "UsageRollup", "client_from_family", "percentile"]

AppKey = tuple[str, str, str]
"""Slug, display name and icon: Coder tells custom apps apart by these three."""

ClientResolver: TypeAlias = Callable[[str, int], str]
"""Names the app by which a user opens sessions of a family."""

_MINUTES_PER_HALF_HOUR = 30


def percentile(sorted_values: list[float], fraction: float) -> float:
    """Return the percentile by linear interpolation, as ``percentile_cont`` does."""
    position = fraction * (len(sorted_values) - 1)
    low = int(position)
    high = min(low + 1, len(sorted_values) - 1)
    return sorted_values[low] + (sorted_values[high] - sorted_values[low]) * (position - low)


def client_from_family(family: str, user: int) -> str:
    """Tell families of sessions apart and no more, as Coder does up to v2.35."""
    return family


@dataclass(slots=True)
class UsageRollup:
    """What a range of days adds up to; days must be added in order."""

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
    """Who used an app in the last half hour of a day."""

    def add_day(self, day: date, user_days: Iterable[UserDay], templates: tuple[Template, ...]) -> None:
        """Add a day's use, cut to the range before."""
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
        """Return the user's p50 and p95 in milliseconds; -1 where nothing was measured."""
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
