"""Samples of the inventory families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from insights_exporter.app_families import WORKSPACE_APP_FAMILY, app_family
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import FamilySamples, HistogramSample
from insights_exporter.metrics.families.parameters import parameter_infos
from insights_exporter.metrics.families.rows import (
    OptionalFloatSample,
    count_by_bucket,
    float_series,
    histogram_series,
    info_series,
)
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import (
    Agent,
    BuildDuration,
    Insights,
    Inventory,
    TemplateKey,
    Timestamped,
    UnitPrice,
    User,
    Workspace,
)

__all__ = ["inventory_families"]

# Served as 0 for a template without any, so that alerts see zero and not an absent series.
_WORKSPACE_STATUSES = ("running", "stopped", "failed")
_BUILD_STATUSES = ("succeeded", "failed")
_PREBUILT_STATUSES = ("running",)
_AGENT_STATUSES = ("connected", "connecting", "disconnected", "timeout")

_PENDING_DELETION = timedelta(days=7)

_Counts = Counter[tuple[str, ...]]


def inventory_families(  # noqa: PLR0913 - keyword only.
    inventory: Timestamped[Inventory],
    insights: Insights | None,
    values: LabelValues,
    *,
    free_text: bool,
    coder_url: str = "",
    unit_price: UnitPrice | None = None,
    agent_apps: Iterable[str] = (),
) -> Iterator[FamilySamples]:
    """Yield the inventory families in catalogue order.

    ``coder_url`` is the base of avatar URLs, ``agent_apps`` are the apps of agent statistics.
    """
    data = inventory.value
    keys = [template.key for template in data.templates if template.key not in data.withheld_templates]
    workspaces = [workspace for workspace in data.workspaces if not workspace.is_prebuild]
    yield from _workspace_families(workspaces, keys, values, inventory.at)
    prices = [] if unit_price is None else [((unit_price.currency,), unit_price.amount)]
    yield float_series(catalogue.COST_UNIT_PRICE, prices)
    prebuilt = [workspace for workspace in data.workspaces if workspace.is_prebuild]
    yield float_series(
        catalogue.PREBUILT_WORKSPACES,
        _workspaces_by_status(prebuilt, keys, values, _PREBUILT_STATUSES).items(),
    )
    agents = list(_agents(workspaces))
    yield float_series(catalogue.AGENTS, _agents_by_status(agents, keys, values).items())
    yield float_series(catalogue.AGENTS_OUTDATED, _outdated_agents(agents, keys, values).items())
    yield float_series(catalogue.APP_HEALTH, _app_health(agents, values).items())
    yield histogram_series(catalogue.AGENT_RELAY_LATENCY, _relay_latencies(agents, values))
    if not values.username_policy.hides_users:
        user_agents = _user_agents(workspaces, data.users, values)
        yield float_series(catalogue.USER_AGENTS, _agents_by_user(user_agents, values).items())
        yield float_series(
            catalogue.USER_AGENT_RELAY_LATENCY, _relay_latency_by_user(user_agents, values).items()
        )
    yield float_series(catalogue.TEMPLATE_BUILD_P50, _build_durations(data, values, lambda build: build.p50))
    yield float_series(catalogue.TEMPLATE_BUILD_P95, _build_durations(data, values, lambda build: build.p95))
    if not values.username_policy.hides_users:
        yield float_series(catalogue.USER_LAST_SEEN, _last_seen(data.users, values))
    yield info_series(catalogue.TEMPLATE_INFO, _template_infos(data, values))
    created = (
        (values.template(template.key), template.created_at.timestamp())
        for template in data.templates
        if template.created_at is not None
    )
    yield float_series(catalogue.TEMPLATE_CREATED, created)
    yield info_series(catalogue.APP_INFO, _app_infos(data, insights, agent_apps, values))
    if not values.username_policy.hides_users:
        yield info_series(catalogue.USER_INFO, _user_infos(data.users, values, coder_url))
    yield info_series(catalogue.PARAMETER_INFO, parameter_infos(data, insights, values, free_text=free_text))


def _agents(workspaces: Iterable[Workspace]) -> Iterator[tuple[TemplateKey, Agent]]:
    """Yield the agents of running workspaces with their template; a dormant workspace may run."""
    for workspace in workspaces:
        if workspace.status == "running":
            for agent in workspace.agents:
                yield workspace.key, agent


def _zero_counts(keys: Iterable[TemplateKey], values: LabelValues, statuses: Iterable[str]) -> _Counts:
    statuses = tuple(statuses)
    return Counter({(*values.template(key), status): 0 for key in keys for status in statuses})


def _workspace_families(
    workspaces: Sequence[Workspace], keys: Sequence[TemplateKey], values: LabelValues, collected_at: datetime
) -> Iterator[FamilySamples]:
    """Yield the families of workspaces, which exclude prebuilt ones."""
    counts = _workspaces_by_status(workspaces, keys, values, _WORKSPACE_STATUSES)
    yield float_series(catalogue.WORKSPACES, counts.items())
    yield float_series(catalogue.LATEST_BUILDS, _latest_builds(workspaces, keys, values).items())
    running = [workspace for workspace in workspaces if workspace.status == "running"]
    deleted_before = collected_at + _PENDING_DELETION
    for family, matching in (
        (catalogue.WORKSPACES_DORMANT, (row for row in workspaces if row.is_dormant)),
        (
            catalogue.WORKSPACES_PENDING_DELETION,
            (row for row in workspaces if row.deleting_at is not None and row.deleting_at < deleted_before),
        ),
        (catalogue.WORKSPACES_OUTDATED, (row for row in workspaces if row.outdated)),
        (catalogue.WORKSPACES_WITHOUT_AUTOSTOP, (row for row in running if not row.has_autostop)),
    ):
        yield float_series(family, _workspaces_by_template(matching, keys, values).items())
    yield histogram_series(
        catalogue.WORKSPACE_IDLE,
        _idle_histograms(running, keys, values, collected_at),
        bounds=catalogue.IDLE_BUCKETS,
    )
    yield float_series(catalogue.WORKSPACE_DAILY_COST, _daily_costs(workspaces, counts, values).items())
    yield float_series(
        catalogue.WORKSPACE_IDLE_DAILY_COST, _idle_costs(running, keys, values, collected_at).items()
    )


def _workspaces_by_status(
    workspaces: Iterable[Workspace],
    keys: Iterable[TemplateKey],
    values: LabelValues,
    statuses: Iterable[str],
) -> _Counts:
    counts = _zero_counts(keys, values, statuses)
    counts.update(
        (*values.template(workspace.key), values["status"][workspace.status]) for workspace in workspaces
    )
    return counts


def _latest_builds(
    workspaces: Iterable[Workspace], keys: Iterable[TemplateKey], values: LabelValues
) -> _Counts:
    counts: _Counts = Counter(
        {(*values.template(key), "start", status): 0 for key in keys for status in _BUILD_STATUSES}
    )
    counts.update(
        (
            *values.template(workspace.key),
            values["transition"][workspace.transition],
            values["status"][workspace.job_status],
        )
        for workspace in workspaces
        if workspace.job_status
    )
    return counts


def _workspaces_by_template(
    workspaces: Iterable[Workspace], keys: Iterable[TemplateKey], values: LabelValues
) -> _Counts:
    counts: _Counts = Counter({values.template(key): 0 for key in keys})
    counts.update(values.template(workspace.key) for workspace in workspaces)
    return counts


def _idle_histograms(
    running: Iterable[Workspace], keys: Iterable[TemplateKey], values: LabelValues, collected_at: datetime
) -> Iterator[HistogramSample]:
    """Yield the idle times of running workspaces by template."""
    idle_times: dict[tuple[str, ...], list[float]] = {values.template(key): [] for key in keys}
    for workspace in running:
        if (idle := _idle_seconds(workspace, collected_at)) is not None:
            idle_times.setdefault(values.template(workspace.key), []).append(idle)
    for labels, observations in idle_times.items():
        yield labels, count_by_bucket(observations, catalogue.IDLE_BUCKETS)


def _idle_seconds(workspace: Workspace, collected_at: datetime) -> float | None:
    """Return the time since the last use, None for never; the clocks may differ, so 0 is the minimum."""
    if workspace.last_used is None:
        return None
    return max(0.0, (collected_at - workspace.last_used).total_seconds())


def _idle_costs(
    running: Iterable[Workspace], keys: Iterable[TemplateKey], values: LabelValues, collected_at: datetime
) -> _Counts:
    """Return the cost by template and minimum idle time; empty without costs."""
    costs: _Counts = Counter(
        {(*values.template(key), idle): 0 for key in keys for idle in catalogue.IDLE_COST_BOUNDS}
    )
    has_costs = False
    for workspace in running:
        has_costs = has_costs or bool(workspace.daily_cost)
        idle_seconds = _idle_seconds(workspace, collected_at)
        for idle, bound in catalogue.IDLE_COST_BOUNDS.items():
            if idle_seconds is not None and idle_seconds >= bound:
                costs[*values.template(workspace.key), idle] += workspace.daily_cost
    return costs if has_costs else Counter()


def _daily_costs(workspaces: Iterable[Workspace], counts: _Counts, values: LabelValues) -> _Counts:
    """Return the cost by template and status, 0 for other label sets of ``counts``; empty without costs."""
    costs: _Counts = Counter(dict.fromkeys(counts, 0))
    for workspace in workspaces:
        labels = *values.template(workspace.key), values["status"][workspace.status]
        costs[labels] += workspace.daily_cost
    return costs if any(costs.values()) else Counter()


def _agents_by_status(
    agents: Iterable[tuple[TemplateKey, Agent]], keys: Iterable[TemplateKey], values: LabelValues
) -> _Counts:
    counts = _zero_counts(keys, values, _AGENT_STATUSES)
    counts.update((*values.template(key), values["status"][agent.status]) for key, agent in agents)
    return counts


def _outdated_agents(
    agents: Iterable[tuple[TemplateKey, Agent]], keys: Iterable[TemplateKey], values: LabelValues
) -> _Counts:
    counts: _Counts = Counter({values.template(key): 0 for key in keys})
    counts.update(
        values.template(key) for key, agent in agents if agent.outdated and agent.status == "connected"
    )
    return counts


def _app_health(agents: Iterable[tuple[TemplateKey, Agent]], values: LabelValues) -> _Counts:
    return Counter(
        (*values.template(key), values["app"][app.slug], values["health"][app.health])
        for key, agent in agents
        for app in agent.apps
        if app.health and not app.external
    )


def _relay_latencies(
    agents: Iterable[tuple[TemplateKey, Agent]], values: LabelValues
) -> Iterator[HistogramSample]:
    by_region: dict[str, list[float]] = {}
    for _, agent in agents:
        if agent.status == "connected" and agent.relay and agent.relay_latency is not None:
            by_region.setdefault(values["derp_region"][agent.relay], []).append(agent.relay_latency)
    for region, latencies in by_region.items():
        yield (region,), count_by_bucket(latencies)


def _user_agents(
    workspaces: Iterable[Workspace], users: Iterable[User], values: LabelValues
) -> list[tuple[str, Agent]]:
    """Return the connected agents of running workspaces with the served username of their owner.

    The list of users has no user that a filter excludes.
    """
    names = {user.username: values.username_labels[user.username] for user in users}
    return [
        (name, agent)
        for workspace in workspaces
        if workspace.status == "running" and (name := names.get(workspace.owner)) is not None
        for agent in workspace.agents
        if agent.status == "connected"
    ]


def _agents_by_user(user_agents: Iterable[tuple[str, Agent]], values: LabelValues) -> _Counts:
    relays, versions = values["derp_region"], values["version"]
    return Counter(
        (name, relays[agent.relay], versions[agent.version], "true" if agent.outdated else "false")
        for name, agent in user_agents
    )


def _relay_latency_by_user(
    user_agents: Iterable[tuple[str, Agent]], values: LabelValues
) -> dict[tuple[str, ...], float]:
    slowest: dict[tuple[str, ...], float] = {}
    for name, agent in user_agents:
        if agent.relay and agent.relay_latency is not None:
            labels = name, values["derp_region"][agent.relay]
            slowest[labels] = max(agent.relay_latency, slowest.get(labels, 0.0))
    return slowest


def _build_durations(
    data: Inventory, values: LabelValues, get_value: Callable[[BuildDuration], float | None]
) -> Iterator[OptionalFloatSample]:
    for template in data.templates:
        for transition, build in template.build_durations.items():
            yield (*values.template(template.key), values["transition"][transition]), get_value(build)


def _last_seen(users: Iterable[User], values: LabelValues) -> Iterator[OptionalFloatSample]:
    for user in users:
        if user.last_seen is not None and (name := values.username_labels[user.username]) is not None:
            yield (name,), user.last_seen.timestamp()


def _template_infos(data: Inventory, values: LabelValues) -> Iterable[tuple[str, ...]]:
    rows: dict[tuple[str, ...], tuple[str, ...]] = {}
    for template in data.templates:
        key = values.template(template.key)
        descriptive = values["display_name"][template.display_name], values["icon"][template.icon]
        deprecated = "true" if template.deprecated else "false"
        rows.setdefault(key, (*key, values["template_id"][template.id], *descriptive, deprecated))
    return rows.values()


def _app_infos(
    data: Inventory, insights: Insights | None, agent_apps: Iterable[str], values: LabelValues
) -> Iterable[tuple[str, ...]]:
    """Return names, icons and families, each app once: the first that is named wins."""
    apps = [
        (app.slug, app.type, app.display_name, app.icon, app.family)
        for use in ((insights.deployment, *insights.templates) if insights else ())
        for window in use.windows
        for app in window.apps
    ]
    apps += [
        (app.slug, "app", app.display_name, app.icon, WORKSPACE_APP_FAMILY)
        for workspace in data.workspaces
        for agent in workspace.agents
        for app in agent.apps
    ]
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    apps += [(app, "builtin", "", "", app_family(app)) for app in agent_apps]
    for slug, kind, name, icon, family in sorted(dict.fromkeys(apps), key=lambda app: not app[2]):
        key = values["app"][slug], values["app_type"][kind]
        descriptive = values["display_name"][name], values["icon"][icon], values["family"][family]
        rows.setdefault(key, (*key, *descriptive))
    return rows.values()


def _user_infos(users: Iterable[User], values: LabelValues, coder_url: str) -> Iterable[tuple[str, ...]]:
    """Return label values of users; hashed names come without id, display name and avatar."""
    rows: dict[str, tuple[str, ...]] = {}
    for user in users:
        name, status = values.username_labels[user.username], values["status"][user.status]
        if name is None:
            continue
        if values.username_policy.shows_names:
            avatar_url = values["avatar_url"][_absolute_url(user.avatar_url, coder_url)]
            descriptive = values["display_name"][user.display_name], avatar_url
            rows.setdefault(name, (name, values["user_id"][user.id], *descriptive, status))
        else:
            rows.setdefault(name, (name, "", "", "", status))
    return rows.values()


def _absolute_url(url: str, coder_url: str) -> str:
    """Return a URL that works outside of Coder's own pages."""
    is_relative = url.startswith("/") and not url.startswith("//")
    return coder_url.rstrip("/") + url if is_relative else url
