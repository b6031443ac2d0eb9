"""Samples of the Insights families: usage of templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import FamilySamples, HistogramSample, ValuesByUser, is_valid
from insights_exporter.metrics.families.parameters import parameter_counts
from insights_exporter.metrics.families.rows import (
    OptionalFloatSample,
    UserValues,
    count_by_bucket,
    float_series,
    histogram_series,
    user_series,
)
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import Insights, Latency, TemplateUsage, WindowUsage

__all__ = ["insights_families"]

_TemplateUsages = Sequence[tuple[tuple[str, ...], TemplateUsage]]
"""Label values of the template, empty for the deployment, and the usage."""


def insights_families(data: Insights, values: LabelValues, *, free_text: bool) -> Iterator[FamilySamples]:
    """Yield the Insights families in the order of the catalogue."""
    template_usages = [
        (values.template(usage.key), usage) for usage in data.templates if usage.key is not None
    ]
    deployment_usage: _TemplateUsages = [((), data.deployment)]
    since, deployment_since = _since(template_usages), _since(deployment_usage)
    yield float_series(catalogue.TEMPLATE_ACTIVE_USERS, _active_users(template_usages))
    yield float_series(catalogue.DEPLOYMENT_ACTIVE_USERS, _active_users(deployment_usage))
    yield float_series(catalogue.TODAY, [((), _midnight(data.today))])
    yield float_series(
        catalogue.TEMPLATE_UNIQUE_USERS,
        _window_values(template_usages, values, lambda usage: usage.active_users),
    )
    yield float_series(
        catalogue.DEPLOYMENT_UNIQUE_USERS,
        _window_values(deployment_usage, values, lambda usage: usage.active_users),
    )
    yield float_series(catalogue.TEMPLATE_APP_USAGE, _app_totals(template_usages, values), since=since)
    yield float_series(catalogue.TEMPLATE_APP_USAGE_WINDOW, _app_seconds(template_usages, values))
    yield float_series(catalogue.TEMPLATE_APP_OPENS, _app_opens(template_usages, values))
    yield float_series(
        catalogue.DEPLOYMENT_APP_USAGE, _app_totals(deployment_usage, values), since=deployment_since
    )
    yield float_series(catalogue.DEPLOYMENT_APP_USAGE_WINDOW, _app_seconds(deployment_usage, values))
    if not values.username_policy.hides_users:
        yield user_series(catalogue.USER_ACTIVITY, _user_totals(template_usages), values, since=since)
        yield user_series(
            catalogue.USER_ACTIVITY_WINDOW, _user_values(template_usages, values, _activity), values
        )
    totals = ((labels, usage.totals.seconds) for labels, usage in template_usages if usage.totals is not None)
    yield float_series(catalogue.TEMPLATE_USAGE, totals, since=since)
    yield float_series(
        catalogue.TEMPLATE_USAGE_WINDOW, _window_values(template_usages, values, lambda usage: usage.seconds)
    )
    if not values.username_policy.hides_users:
        yield user_series(
            catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW,
            _user_values(deployment_usage, values, _activity),
            values,
        )
        yield user_series(
            catalogue.USER_LATENCY_P50,
            _user_values(template_usages, values, lambda usage: usage.latency.p50),
            values,
        )
        yield user_series(
            catalogue.USER_LATENCY_P95,
            _user_values(template_usages, values, lambda usage: usage.latency.p95),
            values,
        )
    yield histogram_series(catalogue.TEMPLATE_USER_LATENCY, _users_by_latency(template_usages, values))
    yield float_series(
        catalogue.TEMPLATE_USERS_WITHOUT_LATENCY, _users_without_latency(template_usages, values)
    )
    parameters = parameter_counts(data.templates, values, free_text=free_text)
    yield float_series(catalogue.TEMPLATE_PARAMETER_WORKSPACES, parameters)
    yield from _state_families(data, values)


def _state_families(data: Insights, values: LabelValues) -> Iterator[FamilySamples]:
    """Yield the families about how complete and how old the data is."""
    yield float_series(catalogue.TOTALS_PENDING, _pending_totals(data, values))
    yield float_series(catalogue.WARM_UP_RATIO, [((), data.warm_up_ratio)])
    yield float_series(catalogue.POSTPONED_REQUESTS, [((), data.postponed_requests)])
    updated_at = (((values["window"][name],), at.timestamp()) for name, at in data.windows_updated_at.items())
    yield float_series(catalogue.WINDOW_UPDATED, updated_at)
    enabled = data.collection_enabled
    yield float_series(catalogue.COLLECTION_ENABLED, [((), None if enabled is None else float(enabled))])


def _midnight(day: date | None) -> float | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _pending_totals(data: Insights, values: LabelValues) -> Iterator[OptionalFloatSample]:
    """Yield the templates whose totals wait; the deployment, without label values, is always present."""
    reason = data.pending_totals.get(None, "")
    yield ("", "", reason), float(bool(reason))
    for key, template_reason in data.pending_totals.items():
        if key is not None:
            yield (*values.template(key), template_reason), 1.0


def _since(usages: _TemplateUsages) -> datetime | None:
    return min((usage.totals.since for _, usage in usages if usage.totals is not None), default=None)


def _active_users(usages: _TemplateUsages) -> Iterator[OptionalFloatSample]:
    for labels, usage in usages:
        for interval, bins in (("day", usage.days), ("week", usage.weeks)):
            for ago, users in enumerate(bins):
                yield (*labels, interval, str(ago)), users


def _window_values(
    usages: _TemplateUsages, values: LabelValues, get_value: Callable[[WindowUsage], float | None]
) -> Iterator[OptionalFloatSample]:
    for labels, usage in usages:
        for window in usage.windows:
            yield (*labels, values["window"][window.window]), get_value(window)


def _app_totals(usages: _TemplateUsages, values: LabelValues) -> Iterator[OptionalFloatSample]:
    slugs, types = values["app"], values["app_type"]
    for labels, usage in usages:
        if usage.totals is not None:
            for (slug, kind), seconds in usage.totals.apps.items():
                yield (*labels, slugs[slug], types[kind]), seconds


def _app_seconds(usages: _TemplateUsages, values: LabelValues) -> Iterator[OptionalFloatSample]:
    slugs, types = values["app"], values["app_type"]
    for labels, usage in usages:
        for window in usage.windows:
            name = values["window"][window.window]
            for app in window.apps:
                yield (*labels, slugs[app.slug], types[app.type], name), app.seconds


def _app_opens(usages: _TemplateUsages, values: LabelValues) -> Iterator[OptionalFloatSample]:
    slugs, types = values["app"], values["app_type"]
    for labels, usage in usages:
        for window in usage.windows:
            name = values["window"][window.window]
            for app in window.apps:
                # Coder sends 0 for builtin apps, whose opens it does not count.
                if app.type != "builtin":
                    yield (*labels, slugs[app.slug], types[app.type], name), app.opens


def _user_totals(usages: _TemplateUsages) -> Iterator[UserValues]:
    for labels, usage in usages:
        if usage.totals is not None:
            yield (*labels, ""), usage.totals.users


def _activity(window: WindowUsage) -> ValuesByUser:
    return window.activity


def _user_values(
    usages: _TemplateUsages, values: LabelValues, get_values: Callable[[WindowUsage], ValuesByUser]
) -> Iterator[UserValues]:
    for labels, usage in usages:
        for window in usage.windows:
            yield (*labels, "", values["window"][window.window]), get_values(window)


def _users_by_latency(usages: _TemplateUsages, values: LabelValues) -> Iterator[HistogramSample]:
    for labels, usage in usages:
        for window in usage.windows:
            labels_and_window = *labels, values["window"][window.window]
            key = catalogue.TEMPLATE_USER_LATENCY.name, labels_and_window
            yield from values.derivations.get_or_compute(
                key, window.latency, partial(_latency_bucket_counts, labels_and_window)
            )


def _latency_bucket_counts(labels_and_window: tuple[str, ...], latency: Latency) -> Sequence[HistogramSample]:
    *labels, window = labels_and_window
    # A histogram without users would read as good latency, and idle templates would have 34 series each.
    return [
        ((*labels, statistic, window), count_by_bucket(numbers.values()))
        for statistic, numbers in (("p50", latency.p50), ("p95", latency.p95))
        if any(map(is_valid, numbers.values()))
    ]


def _users_without_latency(usages: _TemplateUsages, values: LabelValues) -> Iterator[OptionalFloatSample]:
    for labels, usage in usages:
        for window in usage.windows:
            labels_and_window = *labels, values["window"][window.window]
            key = catalogue.TEMPLATE_USERS_WITHOUT_LATENCY.name, labels_and_window
            yield labels_and_window, values.derivations.get_or_compute(key, window, _count_without_latency)


def _count_without_latency(window: WindowUsage) -> int | None:
    """Return the number of users of a window without a latency; None if it is withheld."""
    latency = window.latency
    if latency.withheld:
        return None
    if len(latency.p50) == len(latency.users) and window.activity.keys() <= latency.p50.keys():
        return 0
    measured = latency.p50.keys() | latency.p95.keys()
    return len(set(latency.users).union(window.activity) - measured)
