"""How templates are used, as samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families.parameters import counted
from insights_exporter.metrics.families.rows import (
    Bucketed,
    Crowd,
    Row,
    bucketed,
    distributions,
    numbers,
    of_users,
)
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.portions import Numbers
from insights_exporter.metrics.text import Samples
from insights_exporter.snapshot import Insights, Latency, TemplateUse, WindowUse

__all__ = ["insights"]

_Uses = Sequence[tuple[tuple[str, ...], TemplateUse]]
"""Uses with the label values that name their template; none for the deployment's."""


def insights(part: Insights, values: LabelValues, *, free_text: bool) -> Iterator[Samples]:
    """Yield the families of this part, in the catalogue's order."""
    uses = [(values.template(use.key), use) for use in part.templates if use.key is not None]
    whole: _Uses = [((), part.deployment)]
    since, whole_since = _since(uses), _since(whole)
    yield numbers(catalogue.TEMPLATE_ACTIVE_USERS, _active_users(uses))
    yield numbers(catalogue.DEPLOYMENT_ACTIVE_USERS, _active_users(whole))
    yield numbers(catalogue.TEMPLATE_UNIQUE_USERS, _by_window(uses, values, lambda use: use.active_users))
    yield numbers(catalogue.DEPLOYMENT_UNIQUE_USERS, _by_window(whole, values, lambda use: use.active_users))
    yield numbers(catalogue.TEMPLATE_APP_USAGE, _app_totals(uses, values), since=since)
    yield numbers(catalogue.TEMPLATE_APP_USAGE_WINDOW, _app_seconds(uses, values))
    yield numbers(catalogue.TEMPLATE_APP_OPENS, _app_opens(uses, values))
    yield numbers(catalogue.DEPLOYMENT_APP_USAGE, _app_totals(whole, values), since=whole_since)
    yield numbers(catalogue.DEPLOYMENT_APP_USAGE_WINDOW, _app_seconds(whole, values))
    if not values.redaction.off:
        yield of_users(catalogue.USER_ACTIVITY, _user_totals(uses), values, since=since)
        yield of_users(catalogue.USER_ACTIVITY_WINDOW, _by_user(uses, values, _activity), values)
    totals = ((labels, use.totals.seconds) for labels, use in uses if use.totals is not None)
    yield numbers(catalogue.TEMPLATE_USAGE, totals, since=since)
    yield numbers(catalogue.TEMPLATE_USAGE_WINDOW, _by_window(uses, values, lambda use: use.seconds))
    if not values.redaction.off:
        yield of_users(catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, _by_user(whole, values, _activity), values)
        yield of_users(
            catalogue.USER_LATENCY_P50, _by_user(uses, values, lambda use: use.latency.p50), values
        )
        yield of_users(
            catalogue.USER_LATENCY_P95, _by_user(uses, values, lambda use: use.latency.p95), values
        )
    yield distributions(catalogue.TEMPLATE_USER_LATENCY, _users_by_latency(uses, values))
    yield numbers(catalogue.TEMPLATE_USERS_WITHOUT_LATENCY, _without_latency(uses, values))
    parameters = counted(part.templates, values, free_text=free_text)
    yield numbers(catalogue.TEMPLATE_PARAMETER_WORKSPACES, parameters)
    enabled = part.collection_enabled
    yield numbers(catalogue.COLLECTION_ENABLED, [((), None if enabled is None else float(enabled))])


def _since(uses: _Uses) -> datetime | None:
    return min((use.totals.since for _, use in uses if use.totals is not None), default=None)


def _active_users(uses: _Uses) -> Iterator[Row]:
    for labels, use in uses:
        for interval, bins in (("day", use.days), ("week", use.weeks)):
            for ago, users in enumerate(bins):
                yield (*labels, interval, str(ago)), users


def _by_window(
    uses: _Uses, values: LabelValues, number: Callable[[WindowUse], float | None]
) -> Iterator[Row]:
    for labels, use in uses:
        for window in use.windows:
            yield (*labels, values["window"][window.window]), number(window)


def _app_totals(uses: _Uses, values: LabelValues) -> Iterator[Row]:
    slugs, types = values["app"], values["app_type"]
    for labels, use in uses:
        if use.totals is not None:
            for (slug, kind), seconds in use.totals.apps.items():
                yield (*labels, slugs[slug], types[kind]), seconds


def _app_seconds(uses: _Uses, values: LabelValues) -> Iterator[Row]:
    slugs, types = values["app"], values["app_type"]
    for labels, use in uses:
        for window in use.windows:
            name = values["window"][window.window]
            for app in window.apps:
                yield (*labels, slugs[app.slug], types[app.type], name), app.seconds


def _app_opens(uses: _Uses, values: LabelValues) -> Iterator[Row]:
    slugs, types = values["app"], values["app_type"]
    for labels, use in uses:
        for window in use.windows:
            name = values["window"][window.window]
            for app in window.apps:
                yield (*labels, slugs[app.slug], types[app.type], name), app.opens


def _user_totals(uses: _Uses) -> Iterator[Crowd]:
    for labels, use in uses:
        if use.totals is not None:
            yield (*labels, ""), use.totals.users


def _activity(use: WindowUse) -> Numbers:
    return use.activity


def _by_user(uses: _Uses, values: LabelValues, numbers: Callable[[WindowUse], Numbers]) -> Iterator[Crowd]:
    for labels, use in uses:
        for window in use.windows:
            yield (*labels, "", values["window"][window.window]), numbers(window)


def _users_by_latency(uses: _Uses, values: LabelValues) -> Iterator[Bucketed]:
    for labels, use in uses:
        for window in use.windows:
            place = *labels, values["window"][window.window]
            key = catalogue.TEMPLATE_USER_LATENCY.name, place
            yield from values.derived.of(key, window.latency, partial(_by_band, place))


def _by_band(place: tuple[str, ...], latency: Latency) -> Sequence[Bucketed]:
    *labels, window = place
    rows = (
        bucketed((*labels, statistic, window), numbers.values())
        for statistic, numbers in (("p50", latency.p50), ("p95", latency.p95))
    )
    # Nobody's latency is unknown, not good; and idle templates would fill the page.
    return [row for row in rows if any(row[1])]


def _without_latency(uses: _Uses, values: LabelValues) -> Iterator[Row]:
    for labels, use in uses:
        for window in use.windows:
            place = *labels, values["window"][window.window]
            key = catalogue.TEMPLATE_USERS_WITHOUT_LATENCY.name, place
            yield place, values.derived.of(key, window, _unmeasured)


def _unmeasured(window: WindowUse) -> int:
    """Count the users of a window that have no latency."""
    latency = window.latency
    if len(latency.p50) == len(latency.users) and window.activity.keys() <= latency.p50.keys():
        return 0
    measured = latency.p50.keys() | latency.p95.keys()
    return len(set(latency.users).union(window.activity) - measured)
