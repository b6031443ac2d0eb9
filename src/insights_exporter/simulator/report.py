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
from insights_exporter.simulator.usage import BUCKETS, BUILTIN, TERMINAL, UserDay, buckets, half_hours

__all__ = ["AppKey", "ClientOf", "Report", "family_alone", "percentile"]

AppKey = tuple[str, str, str]
"""Slug, display name and icon: Coder tells custom apps apart by these three."""

ClientOf: TypeAlias = Callable[[str, int], str]
"""Names the app by which a user opens sessions of a family."""

_FULL = 30


def percentile(ordered: list[float], share: float) -> float:
    """Return the percentile by linear interpolation, as ``percentile_cont`` does."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def family_alone(family: str, user: int) -> str:  # noqa: ARG001 - whoever the user is.
    """Tell families of sessions apart and no more, as Coder does up to v2.35."""
    return family


@dataclass(slots=True)
class Report:
    """What a range of days adds up to; days must be added in order."""

    client: ClientOf = family_alone

    templates: set[int] = field(default_factory=set)
    users: dict[int, set[int]] = field(default_factory=dict)
    user_minutes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    builtin: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    builtin_templates: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    custom: dict[AppKey, int] = field(default_factory=lambda: defaultdict(int))
    custom_templates: dict[AppKey, set[int]] = field(default_factory=lambda: defaultdict(set))
    opens: dict[AppKey, int] = field(default_factory=lambda: defaultdict(int))
    latencies: dict[int, list[float]] = field(default_factory=dict)
    _open: dict[tuple[int, AppKey], date] = field(default_factory=dict)
    """Who used an app in the last half hour of a day."""

    def add(self, day: date, uses: Iterable[UserDay], templates: tuple[Template, ...]) -> None:
        """Add a day's use, cut to the range before."""
        by_user: dict[int, list[UserDay]] = defaultdict(list)
        for use in uses:
            if use.used:
                by_user[use.user].append(use)
        for user, rows in by_user.items():
            self._add_user(day, user, rows, templates)

    def _add_user(self, day: date, user: int, rows: list[UserDay], templates: tuple[Template, ...]) -> None:
        seen = self.users.setdefault(user, set())
        latencies = self.latencies.setdefault(user, [])
        for row in rows:
            self.templates.add(row.template)
            seen.add(row.template)
            latencies += row.measured
        self.user_minutes[user] += _capped([row.used for row in rows])
        for family in BUILTIN:
            masks = [(row.template, row.agent[family]) for row in rows if row.agent.get(family)]
            if masks:
                client = self.client(family, user)
                self.builtin[client] += _capped([mask for _, mask in masks])
                self.builtin_templates[client].update(template for template, _ in masks)
        self._add_custom(day, user, rows, templates)

    def _add_custom(self, day: date, user: int, rows: list[UserDay], templates: tuple[Template, ...]) -> None:
        masks: dict[AppKey, list[int]] = defaultdict(list)
        for row in rows:
            for slug, mask in row.apps.items():
                if (key := _key(templates[row.template], slug)) is not None and mask:
                    masks[key].append(mask)
                    self.custom_templates[key].add(row.template)
        for key, found in masks.items():
            self.custom[key] += _capped(found)
            self.opens[key] += self._runs(day, user, key, found)

    def _runs(self, day: date, user: int, key: AppKey, masks: list[int]) -> int:
        used = 0
        for mask in masks:
            used |= half_hours(mask)
        carried = self._open.pop((user, key), None) == day - timedelta(days=1)
        if used >> (BUCKETS - 1):
            self._open[user, key] = day
        return (used & ~((used << 1) | carried)).bit_count()

    def latency(self, user: int) -> tuple[float, float]:
        """Return the user's p50 and p95 in milliseconds; -1 where nothing was measured."""
        ordered = sorted(self.latencies.get(user, ()))
        if not ordered:
            return -1.0, -1.0
        return percentile(ordered, 0.5), percentile(ordered, 0.95)


def _key(template: Template, slug: str) -> AppKey | None:
    if slug == TERMINAL:
        return None
    for app in template.apps:
        if app.slug == slug:
            return app.slug, app.display_name, app.icon
    return None


def _capped(masks: Sequence[int]) -> int:
    if len(masks) == 1:
        return masks[0].bit_count()
    totals: dict[int, int] = defaultdict(int)
    for mask in masks:
        for index, used in buckets(mask):
            totals[index] += used
    return sum(min(_FULL, total) for total in totals.values())
