"""Small groups in insights: usage, active users, latency and parameters of templates and the deployment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from insights_exporter.cell_suppression import (
    band_of,
    cells_to_withhold,
    describes_too_few,
    merge_small_bands,
    people_in_rest,
    sum_of_largest,
    value_in_band,
    with_complementary_cells,
)
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.family import OTHER
from insights_exporter.small_groups.usage_table import Usage, UsageTable, WithheldUsage
from insights_exporter.snapshot import (
    AppUsage,
    Insights,
    Latency,
    ParameterUsage,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    Totals,
    WindowUsage,
)

__all__ = ["suppress_insights"]

_TOTALS = ""
"""The name of the period since the anchor, among the names of windows."""

Owners = Mapping[TemplateKey, Mapping[str, int]]
"""Workspaces by owner and template."""


def suppress_insights(
    insights: Timestamped[Insights], owners: Owners, min_group_size: int, withheld: Counter[str]
) -> Insights:
    """Return insights without small groups and without users; ``owners`` are those of today's workspaces."""
    data = _with_deployment_latency(insights.value)
    by_period = _withheld_by_period(data, insights.at, min_group_size)
    for period in by_period.values():
        for key, app in period.cells:
            kind = "deployment_usage" if key is None else "template_usage"
            withheld[kind if app is None else "app_usage"] += 1
    suppressed = {
        usage.key: _suppress_usage(usage, by_period, owners, min_group_size, withheld)
        for usage in (data.deployment, *data.templates)
    }
    _suppress_active_users(suppressed, min_group_size, withheld)
    return replace(
        data,
        deployment=suppressed[None],
        templates=[suppressed[usage.key] for usage in data.templates],
    )


# Periods -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Period:
    """Usage by template, and of the deployment (None), in a window or since the anchor."""

    start: datetime
    end: datetime
    usages: Mapping[TemplateKey | None, Usage]

    def contains(self, other: _Period) -> bool:
        return self.start <= other.start and other.end <= self.end


def _withheld_by_period(data: Insights, at: datetime, min_group_size: int) -> dict[str, WithheldUsage]:
    """Return what to withhold in each window and in the totals; longer periods have priority."""
    periods = _periods(data, at)
    result: dict[str, WithheldUsage] = {}
    for name in sorted(periods, key=lambda name: periods[name].start - periods[name].end):
        period = periods[name]
        longer = [other for other in result if periods[other].contains(period)]
        differences = {
            key: [
                periods[other].usages[key].minus(usage)
                for other in longer
                if key in periods[other].usages and not result[other].hides(key)
            ]
            for key, usage in period.usages.items()
        }
        templates = {key: usage for key, usage in period.usages.items() if key is not None}
        table = UsageTable(period.usages.get(None), templates, min_group_size, differences)
        result[name] = table.withheld()
    return result


def _periods(data: Insights, at: datetime) -> dict[str, _Period]:
    usages: dict[str, dict[TemplateKey | None, Usage]] = {}
    bounds: dict[str, tuple[datetime, datetime]] = {}
    for usage in (data.deployment, *data.templates):
        for window in usage.windows:
            usages.setdefault(window.window, {})[usage.key] = _window_usage(window)
            bounds[window.window] = window.start, window.end
        if usage.totals is not None:
            usages.setdefault(_TOTALS, {})[usage.key] = _total_usage(usage.totals)
            bounds[_TOTALS] = usage.totals.since, at
    return {name: _Period(*bounds[name], usages[name]) for name in usages}


def _window_usage(window: WindowUsage) -> Usage:
    people = sum(seconds > 0 for seconds in window.activity.values())
    return Usage(
        people if window.active_users is None else window.active_users,
        window.seconds,
        {(app.slug, app.type): app.seconds for app in window.apps},
        window.activity,
    )


def _total_usage(totals: Totals) -> Usage:
    people = sum(seconds > 0 for seconds in totals.users.values())
    return Usage(people, totals.seconds, totals.apps, totals.users)


def _suppress_usage(
    usage: TemplateUsage,
    by_period: Mapping[str, WithheldUsage],
    owners: Owners,
    min_group_size: int,
    withheld: Counter[str],
) -> TemplateUsage:
    key = usage.key
    owned = () if key is None else tuple(owners.get(key, {}).values())
    windows = [
        replace(
            window,
            apps=_visible_apps(window.apps, key, by_period[window.window]),
            parameters=_suppress_parameters(window.parameters, owned, min_group_size, withheld),
            activity={},
            latency=_suppress_latency(window, min_group_size, withheld),
        )
        for window in usage.windows
        if not by_period[window.window].hides(key)
    ]
    totals = usage.totals
    if totals is not None:
        period = by_period[_TOTALS]
        apps = {app: seconds for app, seconds in totals.apps.items() if not period.hides_app(key, app)}
        totals = None if period.hides(key) else replace(totals, apps=apps, users={})
    return replace(usage, windows=windows, totals=totals)


def _visible_apps(
    apps: Iterable[AppUsage], key: TemplateKey | None, period: WithheldUsage
) -> tuple[AppUsage, ...]:
    return tuple(app for app in apps if not period.hides_app(key, (app.slug, app.type)))


# Active users --------------------------------------------------------------------------------------------


def _suppress_active_users(
    usages: dict[TemplateKey | None, TemplateUsage], min_group_size: int, withheld: Counter[str]
) -> None:
    """Replace active users of days and weeks by None where they, or the rest of the deployment, are few."""
    days = _visible_bins(usages, lambda usage: usage.days, min_group_size, withheld)
    weeks = _visible_bins(usages, lambda usage: usage.weeks, min_group_size, withheld)
    for key, usage in usages.items():
        usages[key] = replace(usage, days=days[key], weeks=weeks[key])


def _visible_bins(
    usages: Mapping[TemplateKey | None, TemplateUsage],
    get_bins: Callable[[TemplateUsage], Sequence[int | None]],
    min_group_size: int,
    withheld: Counter[str],
) -> dict[TemplateKey | None, tuple[int | None, ...]]:
    bins = {key: list(get_bins(usage)) for key, usage in usages.items()}
    for index in range(max(map(len, bins.values()), default=0)):
        people = {key: values[index] or 0 for key, values in bins.items() if key and index < len(values)}
        totals = bins.get(None, [])
        total = totals[index] if index < len(totals) else None
        cells = cells_to_withhold(people, total, min_group_size)
        small: set[TemplateKey | None] = {*cells}
        if total is not None and (
            describes_too_few(total, min_group_size)
            or describes_too_few(people_in_rest(people, total, cells), min_group_size)
        ):
            small.add(None)
        for key in small:
            bins[key][index] = None
        withheld["active_users"] += len(small)
    return {key: tuple(values) for key, values in bins.items()}


# Latency -------------------------------------------------------------------------------------------------


def _with_deployment_latency(data: Insights) -> Insights:
    """Return insights with each user's highest latency of all templates as that of the deployment.

    Coder has none of the deployment, and that of templates cannot be combined without usernames.
    """
    windows = []
    for window in data.deployment.windows:
        p50: dict[str, float] = {}
        p95: dict[str, float] = {}
        for usage in data.templates:
            for latency in (one.latency for one in usage.windows if one.window == window.window):
                _keep_highest(p50, latency.p50)
                _keep_highest(p95, latency.p95)
        users = tuple({**window.activity, **p50, **p95})
        windows.append(replace(window, latency=Latency(users, p50, p95)))
    return replace(data, deployment=replace(data.deployment, windows=windows))


def _keep_highest(highest: dict[str, float], values: Mapping[str, float]) -> None:
    for user, value in values.items():
        highest[user] = max(value, highest.get(user, 0.0))


def _suppress_latency(window: WindowUsage, min_group_size: int, withheld: Counter[str]) -> Latency:
    """Return anonymous latencies: each band of the histogram, and those without a latency, has enough people.

    People of a small band get the upper bound of the band that they are counted in.
    """
    latency = window.latency
    measured = latency.p50.keys() | latency.p95.keys()
    unmeasured = len(set(latency.users).union(window.activity) - measured)
    listed = len(measured) + unmeasured
    if not listed:
        return Latency()
    # Filtered users have no latency: the difference to the active users must not give them away.
    filtered = abs(listed - window.active_users) if window.active_users is not None else 0
    if describes_too_few(listed, min_group_size) or describes_too_few(filtered, min_group_size):
        withheld["latency"] += 1
        return Latency(withheld=True)
    joining = unmeasured if describes_too_few(unmeasured, min_group_size) else 0
    names = {user: str(number) for number, user in enumerate(sorted(measured))}
    joined = [f"unmeasured-{number}" for number in range(joining)]
    p50, p95 = (
        _merge_latencies(
            {names[user]: value for user, value in values.items()}, joined, min_group_size, withheld
        )
        for values in (latency.p50, latency.p95)
    )
    if p50 is None or p95 is None:
        withheld["latency"] += 1
        return Latency(withheld=True)
    users = *names.values(), *(f"unmeasured-{number}" for number in range(unmeasured))
    return Latency(users, p50, p95)


def _merge_latencies(
    values: Mapping[str, float], joined: Sequence[str], min_group_size: int, withheld: Counter[str]
) -> dict[str, float] | None:
    """Return the values with small bands merged, and ``joined`` people in the lowest band.

    None if all people with a value are too few.
    """
    people: list[list[str]] = [[] for _ in range(len(LATENCY_BUCKETS) + 1)]
    for user, value in values.items():
        people[band_of(value, LATENCY_BUCKETS)].append(user)
    targets = merge_small_bands(people, min_group_size)
    result: dict[str, float] = {}
    for band, users in enumerate(people):
        moved = targets[band] != band
        withheld["latency_bands"] += moved and bool(users)
        standard = value_in_band(targets[band], LATENCY_BUCKETS)
        result |= {user: standard if moved else values[user] for user in users}
    if describes_too_few(len(values), min_group_size):
        return None
    if values:
        lowest = min(targets[band] for band, users in enumerate(people) if users)
        result |= dict.fromkeys(joined, value_in_band(lowest, LATENCY_BUCKETS))
        withheld["latency_bands"] += bool(joined)
    return result


# Parameters ----------------------------------------------------------------------------------------------


def _suppress_parameters(
    parameters: Sequence[ParameterUsage],
    owned: Sequence[int],
    min_group_size: int,
    withheld: Counter[str],
) -> tuple[ParameterUsage, ...]:
    """Return the parameters with the values of few people added up as ``_other``.

    ``owned`` has the workspaces of each owner, because Coder counts workspaces by value. Without owners each
    workspace counts as a person. A parameter whose values all describe too few people is left out.
    """
    if describes_too_few(len(owned), min_group_size):
        withheld["parameter_values"] += sum(len(parameter.values) for parameter in parameters)
        return ()
    limit = max(min_group_size - 1, sum_of_largest(owned, min_group_size))
    suppressed = (_suppress_values(parameter, limit, min_group_size, withheld) for parameter in parameters)
    return tuple(parameter for parameter in suppressed if parameter is not None)


def _suppress_values(
    parameter: ParameterUsage, limit: float, min_group_size: int, withheld: Counter[str]
) -> ParameterUsage | None:
    """Return a parameter without the values that at most ``limit`` workspaces have."""
    values = parameter.values

    def people_in(hidden: Iterable[str]) -> int:
        workspaces = sum(values[value] for value in hidden)
        return min_group_size if workspaces > limit else min(workspaces, 1)

    primary = {value for value, workspaces in values.items() if 0 < workspaces <= limit}
    hidden = with_complementary_cells(primary, values, people_in, min_group_size)
    withheld["parameter_values"] += len(hidden)
    if not hidden:
        return parameter
    if describes_too_few(people_in(hidden), min_group_size):
        return None
    visible = {value: workspaces for value, workspaces in values.items() if value not in hidden}
    visible[OTHER] = visible.get(OTHER, 0) + sum(values[value] for value in hidden)
    options = tuple(option for option in parameter.options if option.value not in hidden)
    return msgspec.structs.replace(parameter, values=visible, options=options)
