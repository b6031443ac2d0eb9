"""Whether workspaces can report at all."""

from __future__ import annotations

from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import EXPORTER_HEALTH, USER_SUPPORT
from insights_exporter.bundle.queries import Scope, like, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE

__all__ = ["group"]

_OF_TEMPLATE = ("job", *TEMPLATE)
_VARIABLES = {"organization": "organization_name", "template": "template_name"}


def group(site: Site) -> Group:
    """Return the rules on agents."""
    scope = site.scope
    lost, total, growth = _lost(scope), _total(scope), _growth(scope)
    return Group(
        subject="agents",
        title="Agents",
        interval="1m",
        recordings=(lost, total, growth),
        alerts=(_disconnected(site, lost, total), _outdated(site), _stalled(site, growth)),
    )


def _lost(scope: Scope) -> Recording:
    lost = scope.latest(catalogue.AGENTS, status=like("disconnected|timeout"))
    return Recording(
        name="template:coder_insights_agents:lost",
        expr=str(lost.sum(*_OF_TEMPLATE)),
        labels=_OF_TEMPLATE,
        meaning="Agents of running workspaces that Coder has lost, or that never came.",
    )


def _total(scope: Scope) -> Recording:
    return Recording(
        name="template:coder_insights_agents:total",
        expr=str(scope.latest(catalogue.AGENTS).sum(*_OF_TEMPLATE)),
        labels=_OF_TEMPLATE,
        meaning="Agents of running workspaces.",
    )


def _growth(scope: Scope) -> Recording:
    return Recording(
        name="deployment:coder_insights_template_usage_seconds:increase_1h",
        expr=str(scope.increase(catalogue.TEMPLATE_USAGE, "1h").sum("job")),
        labels=("job",),
        meaning="By how much the recorded usage of all templates grew within an hour.",
    )


def _disconnected(site: Site, lost: Recording, total: Recording) -> Alert:
    limits, scope = site.thresholds, site.scope
    return Alert(
        name="CoderInsightsAgentsDisconnected",
        expr=(
            f"{share(lost.read(scope), total.read(scope))} >= {limits.lost_agents_share:g}\n"
            f"and\n{lost.read(scope)} >= {limits.lost_agents:g}"
        ),
        wait="15m",
        severity=Severity.WARNING,
        summary="Many agents of a template have lost contact with Coder.",
        description=(
            "{{ $value | humanizePercentage }} of the agents in running workspaces of template"
            " {{ $labels.template_name }} of {{ $labels.organization_name }} are not connected to Coder."
        ),
        because="Three polls in a row and a quarter of the agents: restarts of single workspaces pass.",
        limits=("lost_agents", "lost_agents_share"),
        panel=Panel(USER_SUPPORT.slug, "Agents", _VARIABLES),
    )


def _outdated(site: Site) -> Alert:
    limits, scope = site.thresholds, site.scope
    old = scope.latest(catalogue.AGENTS_OUTDATED)
    connected = scope.latest(catalogue.AGENTS, status="connected")
    return Alert(
        name="CoderInsightsAgentsOutdated",
        expr=(
            f"{share(old, connected)} >= {limits.outdated_agents_share:g}\n"
            f"and\n{old} >= {limits.outdated_agents:g}"
        ),
        wait="1d",
        severity=Severity.INFO,
        summary="Many agents of a template run an older version than Coder.",
        description=(
            "{{ $value | humanizePercentage }} of the connected agents of template"
            " {{ $labels.template_name }} of {{ $labels.organization_name }} run another version than the"
            " server, which may lack what it reports about apps."
        ),
        because="After an upgrade of Coder all agents are old; a day gives most workspaces time to restart.",
        limits=("outdated_agents", "outdated_agents_share"),
        panel=Panel(USER_SUPPORT.slug, "Outdated agents", _VARIABLES),
    )


def _stalled(site: Site, growth: Recording) -> Alert:
    limits, scope = site.thresholds, site.scope
    agents = scope.latest(catalogue.AGENTS, status="connected").sum("job")
    sessions = scope.latest(catalogue.SESSIONS).sum("job")
    seen = scope.latest(catalogue.USER_LAST_SEEN)
    then = scope.at(catalogue.AGENTS, "7d", status="connected").sum("job")
    return Alert(
        name="CoderInsightsUsageStalled",
        expr=(
            f"{agents} >= {limits.stalled_agents:g}\n"
            f"and\n{growth.read(scope)} == 0\n"
            f"and\n(\n{sessions} >= {limits.stalled_sessions:g}\n"
            f"or\n(\ncount by (job) ({seen} > time() - 3600) >= {limits.stalled_users:g}\n"
            f"unless on (job)\n{sessions}\n)\n"
            # With neither sessions nor names, as many agents as a week ago stand for as many people.
            f"or\n(\n{agents} >= {limits.company_share:g} * {then}\n"
            f"and\n{growth.read(scope)} offset 7d >= {limits.stalled_growth:g}\n"
            f"unless on (job)\n{sessions}\nunless on (job)\n{seen}\n)\n)"
        ),
        wait="30m",
        severity=Severity.WARNING,
        summary="Workspaces are in use and Coder records no usage.",
        description=(
            "{{ $value | humanize }} agents are connected and people are at work, but no usage was recorded"
            " for an hour: Coder's rollup has stalled, or agents cannot deliver their reports."
        ),
        because="The rollup runs every five minutes; an hour without it, seen for half an hour, is no lag.",
        limits=("stalled_agents", "stalled_sessions", "stalled_users", "stalled_growth", "company_share"),
        panel=Panel(EXPORTER_HEALTH.slug, "Recorded usage"),
    )
