"""What the deployment holds, as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder.text import FamilySamples
from insights_exporter.metrics.families.parameters import parameter_infos
from insights_exporter.metrics.families.rows import (
    BucketCounts,
    OptionalFloatSample,
    bucket_histograms,
    count_by_bucket,
    float_series,
    info_series,
)
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import (
    Agent,
    BuildDuration,
    Insights,
    Inventory,
    TemplateKey,
    User,
    Workspace,
)

__all__ = ["inventory_families"]

# Served as 0 where a template has none, so that an alert need not tell zero from unknown.
_WORKSPACE_STATUSES = ("running", "stopped", "failed", "dormant")
_AGENT_STATUSES = ("connected", "connecting", "disconnected", "timeout")

_Counts = Counter[tuple[str, ...]]


def inventory_families(
    data: Inventory, insights: Insights | None, values: LabelValues, *, free_text: bool, coder_url: str = ""
) -> Iterator[FamilySamples]:
    """Yield the families of this part, in the catalogue's order; ``site`` is where people open Coder."""
    agents = list(_agents(data.workspaces))
    keys = [template.key for template in data.templates]
    yield float_series(catalogue.WORKSPACES, _workspaces_by_status(data.workspaces, keys, values).items())
    yield float_series(catalogue.AGENTS, _agents_by_status(agents, keys, values).items())
    yield float_series(catalogue.AGENTS_OUTDATED, _outdated_agents(agents, keys, values).items())
    yield float_series(catalogue.APP_HEALTH, _app_health(agents, values).items())
    yield bucket_histograms(catalogue.AGENT_RELAY_LATENCY, _relay_latencies(agents, values))
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
    yield info_series(catalogue.APP_INFO, _app_infos(data, insights, values))
    if not values.username_policy.hides_users:
        yield info_series(catalogue.USER_INFO, _user_infos(data.users, values, coder_url))
    yield info_series(catalogue.PARAMETER_INFO, parameter_infos(data, insights, values, free_text=free_text))


def _agents(workspaces: Iterable[Workspace]) -> Iterator[tuple[TemplateKey, Agent]]:
    """Yield the agents of running workspaces with their template."""
    for workspace in workspaces:
        if workspace.status == "running":
            for agent in workspace.agents:
                yield workspace.key, agent


def _zero_counts(keys: Iterable[TemplateKey], values: LabelValues, statuses: Iterable[str]) -> _Counts:
    statuses = tuple(statuses)
    return Counter({(*values.template(key), status): 0 for key in keys for status in statuses})


def _workspaces_by_status(
    workspaces: Iterable[Workspace], keys: Iterable[TemplateKey], values: LabelValues
) -> _Counts:
    counts = _zero_counts(keys, values, _WORKSPACE_STATUSES)
    counts.update(
        (*values.template(workspace.key), values["status"][workspace.status]) for workspace in workspaces
    )
    return counts


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
        if app.health
    )


def _relay_latencies(
    agents: Iterable[tuple[TemplateKey, Agent]], values: LabelValues
) -> Iterator[BucketCounts]:
    by_region: dict[str, list[float]] = {}
    for _, agent in agents:
        if agent.status == "connected" and agent.relay and agent.relay_latency is not None:
            by_region.setdefault(values["derp_region"][agent.relay], []).append(agent.relay_latency)
    for region, latencies in by_region.items():
        yield count_by_bucket((region,), latencies)


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


def _app_infos(data: Inventory, insights: Insights | None, values: LabelValues) -> Iterable[tuple[str, ...]]:
    """Return names and icons, each app once: the first that is named wins."""
    apps = [
        (app.slug, app.type, app.display_name, app.icon)
        for use in ((insights.deployment, *insights.templates) if insights else ())
        for window in use.windows
        for app in window.apps
    ]
    apps += [
        (app.slug, "app", app.display_name, app.icon)
        for workspace in data.workspaces
        for agent in workspace.agents
        for app in agent.apps
    ]
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for slug, kind, name, icon in sorted(dict.fromkeys(apps), key=lambda app: not app[2]):
        key = values["app"][slug], values["app_type"][kind]
        rows.setdefault(key, (*key, values["display_name"][name], values["icon"][icon]))
    return rows.values()


def _user_infos(users: Iterable[User], values: LabelValues, coder_url: str) -> Iterable[tuple[str, ...]]:
    """Return who users are; where names are hashed, nothing stays that leads back to a person."""
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
    """Return an address that leads to the same also from other pages than Coder's own."""
    is_relative = url.startswith("/") and not url.startswith("//")
    return coder_url.rstrip("/") + url if is_relative else url
