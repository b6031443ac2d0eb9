"""What the deployment holds, as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families.parameters import described
from insights_exporter.metrics.families.rows import Bucketed, Row, bucketed, distributions, infos, numbers
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.text import Samples
from insights_exporter.snapshot import (
    Account,
    Agent,
    BuildDuration,
    Insights,
    Inventory,
    TemplateKey,
    Workspace,
)

__all__ = ["inventory"]

# Served as 0 where a template has none, so that an alert need not tell zero from unknown.
_WORKSPACE_STATUSES = ("running", "stopped", "failed", "dormant")
_AGENT_STATUSES = ("connected", "connecting", "disconnected", "timeout")

_Counts = Counter[tuple[str, ...]]


def inventory(
    part: Inventory, insights: Insights | None, values: LabelValues, *, free_text: bool, site: str = ""
) -> Iterator[Samples]:
    """Yield the families of this part, in the catalogue's order; ``site`` is where people open Coder."""
    agents = list(_agents(part.workspaces))
    keys = [template.key for template in part.templates]
    yield numbers(catalogue.WORKSPACES, _workspaces(part.workspaces, keys, values).items())
    yield numbers(catalogue.AGENTS, _agents_by_status(agents, keys, values).items())
    yield numbers(catalogue.AGENTS_OUTDATED, _outdated(agents, keys, values).items())
    yield numbers(catalogue.APP_HEALTH, _app_health(agents, values).items())
    yield distributions(catalogue.AGENT_RELAY_LATENCY, _relays(agents, values))
    yield numbers(catalogue.TEMPLATE_BUILD_P50, _builds(part, values, lambda build: build.p50))
    yield numbers(catalogue.TEMPLATE_BUILD_P95, _builds(part, values, lambda build: build.p95))
    if not values.redaction.off:
        yield numbers(catalogue.USER_LAST_SEEN, _last_seen(part.users, values))
    yield infos(catalogue.TEMPLATE_INFO, _template_infos(part, values))
    created = (
        (values.template(template.key), template.created_at.timestamp())
        for template in part.templates
        if template.created_at is not None
    )
    yield numbers(catalogue.TEMPLATE_CREATED, created)
    yield infos(catalogue.APP_INFO, _app_infos(part, insights, values))
    if not values.redaction.off:
        yield infos(catalogue.USER_INFO, _user_infos(part.users, values, site))
    yield infos(catalogue.PARAMETER_INFO, described(part, insights, values, free_text=free_text))


def _agents(workspaces: Iterable[Workspace]) -> Iterator[tuple[TemplateKey, Agent]]:
    """Yield the agents of running workspaces with their template."""
    for workspace in workspaces:
        if workspace.status == "running":
            for agent in workspace.agents:
                yield workspace.key, agent


def _zeros(keys: Iterable[TemplateKey], values: LabelValues, statuses: Iterable[str]) -> _Counts:
    statuses = tuple(statuses)
    return Counter({(*values.template(key), status): 0 for key in keys for status in statuses})


def _workspaces(workspaces: Iterable[Workspace], keys: Iterable[TemplateKey], values: LabelValues) -> _Counts:
    counts = _zeros(keys, values, _WORKSPACE_STATUSES)
    counts.update((*values.template(item.key), values["status"][item.status]) for item in workspaces)
    return counts


def _agents_by_status(
    agents: Iterable[tuple[TemplateKey, Agent]], keys: Iterable[TemplateKey], values: LabelValues
) -> _Counts:
    counts = _zeros(keys, values, _AGENT_STATUSES)
    counts.update((*values.template(key), values["status"][agent.status]) for key, agent in agents)
    return counts


def _outdated(
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


def _relays(agents: Iterable[tuple[TemplateKey, Agent]], values: LabelValues) -> Iterator[Bucketed]:
    by_region: dict[str, list[float]] = {}
    for _, agent in agents:
        if agent.status == "connected" and agent.relay and agent.relay_latency is not None:
            by_region.setdefault(values["derp_region"][agent.relay], []).append(agent.relay_latency)
    for region, latencies in by_region.items():
        yield bucketed((region,), latencies)


def _builds(
    part: Inventory, values: LabelValues, number: Callable[[BuildDuration], float | None]
) -> Iterator[Row]:
    for template in part.templates:
        for transition, build in template.build_durations.items():
            yield (*values.template(template.key), values["transition"][transition]), number(build)


def _last_seen(users: Iterable[Account], values: LabelValues) -> Iterator[Row]:
    for user in users:
        if user.last_seen is not None and (name := values.users[user.username]) is not None:
            yield (name,), user.last_seen.timestamp()


def _template_infos(part: Inventory, values: LabelValues) -> Iterable[tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for template in part.templates:
        key = values.template(template.key)
        shown = values["display_name"][template.display_name], values["icon"][template.icon]
        deprecated = "true" if template.deprecated else "false"
        found.setdefault(key, (*key, values["template_id"][template.id], *shown, deprecated))
    return found.values()


def _app_infos(part: Inventory, insights: Insights | None, values: LabelValues) -> Iterable[tuple[str, ...]]:
    """Return names and icons, each app once: the first that is named wins."""
    named = [
        (app.slug, app.type, app.display_name, app.icon)
        for use in ((insights.deployment, *insights.templates) if insights else ())
        for window in use.windows
        for app in window.apps
    ]
    named += [
        (app.slug, "app", app.display_name, app.icon)
        for workspace in part.workspaces
        for agent in workspace.agents
        for app in agent.apps
    ]
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for slug, kind, name, icon in sorted(dict.fromkeys(named), key=lambda app: not app[2]):
        key = values["app"][slug], values["app_type"][kind]
        found.setdefault(key, (*key, values["display_name"][name], values["icon"][icon]))
    return found.values()


def _user_infos(users: Iterable[Account], values: LabelValues, site: str) -> Iterable[tuple[str, ...]]:
    """Return who users are; where names are hashed, nothing stays that leads back to a person."""
    found: dict[str, tuple[str, ...]] = {}
    for user in users:
        name, status = values.users[user.username], values["status"][user.status]
        if name is None:
            continue
        if values.redaction.named:
            picture = values["avatar_url"][_anywhere(user.avatar_url, site)]
            shown = values["display_name"][user.display_name], picture
            found.setdefault(name, (name, values["user_id"][user.id], *shown, status))
        else:
            found.setdefault(name, (name, "", "", "", status))
    return found.values()


def _anywhere(url: str, site: str) -> str:
    """Return an address that leads to the same also from other pages than Coder's own."""
    of_this_site = url.startswith("/") and not url.startswith("//")
    return site.rstrip("/") + url if of_this_site else url
