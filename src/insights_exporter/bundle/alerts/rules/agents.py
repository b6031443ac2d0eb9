"""Whether workspaces can report at all."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, RuleGroup, Severity
from insights_exporter.bundle.promql import QueryBuilder, regex, share
from insights_exporter.bundle.registry import EXPORTER_HEALTH, USER_SUPPORT
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE_LABELS

__all__ = ["group"]

_TEMPLATE_LABELS = ("job", *TEMPLATE_LABELS)
_TEMPLATE_VARIABLES = {"organization": "organization_name", "template": "template_name"}


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on agents."""
    query = options.query
    lost, total, growth = _lost_agents(query), _total_agents(query), _usage_growth(query)
    return RuleGroup(
        slug="agents",
        title="Agents",
        interval="1m",
        recordings=(lost, total, growth),
        alerts=(_disconnected(options, lost, total), _outdated(options), _usage_stalled(options, growth)),
    )


def _lost_agents(query: QueryBuilder) -> RecordingRule:
    lost = query.latest(catalogue.AGENTS, status=regex("disconnected|timeout"))
    return RecordingRule(
        name="template:coder_insights_agents:lost",
        expr=str(lost.sum(*_TEMPLATE_LABELS)),
        labels=_TEMPLATE_LABELS,
        description="Agents of running workspaces that Coder has lost, or that never came.",
    )


def _total_agents(query: QueryBuilder) -> RecordingRule:
    return RecordingRule(
        name="template:coder_insights_agents:total",
        expr=str(query.latest(catalogue.AGENTS).sum(*_TEMPLATE_LABELS)),
        labels=_TEMPLATE_LABELS,
        description="Agents of running workspaces.",
    )


def _usage_growth(query: QueryBuilder) -> RecordingRule:
    return RecordingRule(
        name="deployment:coder_insights_template_usage_seconds:increase_1h",
        expr=str(query.increase(catalogue.TEMPLATE_USAGE, "1h").sum("job")),
        labels=("job",),
        description="By how much the recorded usage of all templates grew within an hour.",
    )


def _disconnected(options: InstallOptions, lost: RecordingRule, total: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    return Alert(
        name="CoderInsightsAgentsDisconnected",
        expr=(
            f"{share(lost.selector(query), total.selector(query))} >= {thresholds.lost_agents_share:g}\n"
            f"and\n{lost.selector(query)} >= {thresholds.lost_agents:g}"
        ),
        for_="15m",
        severity=Severity.WARNING,
        summary="Many agents of a template have lost contact with Coder.",
        description=(
            "{{ $value | humanizePercentage }} of the agents in running workspaces of template"
            " {{ $labels.template_name }} of {{ $labels.organization_name }} are not connected to Coder."
        ),
        rationale="Three polls in a row and a quarter of the agents: restarts of single workspaces pass.",
        thresholds=("lost_agents", "lost_agents_share"),
        panel=PanelLink(USER_SUPPORT.slug, "Agents", _TEMPLATE_VARIABLES),
    )


def _outdated(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    outdated = query.latest(catalogue.AGENTS_OUTDATED)
    connected = query.latest(catalogue.AGENTS, status="connected")
    return Alert(
        name="CoderInsightsAgentsOutdated",
        expr=(
            f"{share(outdated, connected)} >= {thresholds.outdated_agents_share:g}\n"
            f"and\n{outdated} >= {thresholds.outdated_agents:g}"
        ),
        for_="1d",
        severity=Severity.INFO,
        summary="Many agents of a template run an older version than Coder.",
        description=(
            "{{ $value | humanizePercentage }} of the connected agents of template"
            " {{ $labels.template_name }} of {{ $labels.organization_name }} run another version than the"
            " server, which may lack what it reports about apps."
        ),
        rationale="After an upgrade of Coder all agents are old; a day gives most workspaces time to restart.",
        thresholds=("outdated_agents", "outdated_agents_share"),
        panel=PanelLink(USER_SUPPORT.slug, "Outdated agents", _TEMPLATE_VARIABLES),
    )


def _usage_stalled(options: InstallOptions, growth: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    agents = query.latest(catalogue.AGENTS, status="connected").sum("job")
    sessions = query.latest(catalogue.SESSIONS).sum("job")
    last_seen = query.latest(catalogue.USER_LAST_SEEN)
    agents_last_week = query.at_offset(catalogue.AGENTS, "7d", status="connected").sum("job")
    return Alert(
        name="CoderInsightsUsageStalled",
        expr=(
            f"{agents} >= {thresholds.stalled_agents:g}\n"
            f"and\n{growth.selector(query)} == 0\n"
            f"and\n(\n{sessions} >= {thresholds.stalled_sessions:g}\n"
            f"or\n(\ncount by (job) ({last_seen} > time() - 3600) >= {thresholds.stalled_users:g}\n"
            f"unless on (job)\n{sessions}\n)\n"
            # With neither sessions nor names, as many agents as a week ago stand for as many people.
            f"or\n(\n{agents} >= {thresholds.workday_share:g} * {agents_last_week}\n"
            f"and\n{growth.selector(query)} offset 7d >= {thresholds.stalled_growth:g}\n"
            f"unless on (job)\n{sessions}\nunless on (job)\n{last_seen}\n)\n)"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="Workspaces are in use and Coder records no usage.",
        description=(
            "{{ $value | humanize }} agents are connected and people are at work, but no usage was recorded"
            " for an hour: Coder's rollup has stalled, or agents cannot deliver their reports."
        ),
        rationale="The rollup runs every five minutes; an hour without it, seen for half an hour, is no lag.",
        thresholds=("stalled_agents", "stalled_sessions", "stalled_users", "stalled_growth", "workday_share"),
        panel=PanelLink(EXPORTER_HEALTH.slug, "Recorded usage"),
    )
