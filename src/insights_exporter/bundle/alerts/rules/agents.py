"""Rules on workspace agents and on the reports that they send."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import (
    TEMPLATE_SUBJECT,
    TEMPLATES_VARIABLES,
    Alert,
    PanelLink,
    RecordingRule,
    RuleGroup,
    Severity,
)
from insights_exporter.bundle.promql import regex, share
from insights_exporter.bundle.registry import EXPORTER_HEALTH, USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["group"]


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on agents."""
    lost, total, growth = _lost_agents(options), _total_agents(options), _usage_growth(options)
    return RuleGroup(
        slug="agents",
        title="Agents",
        interval="1m",
        recordings=(lost, total, growth),
        alerts=(_disconnected(options, lost, total), _outdated(options), _usage_stalled(options, growth)),
    )


def _lost_agents(options: InstallOptions) -> RecordingRule:
    lost = options.query.latest(catalogue.AGENTS, status=regex("disconnected|timeout"))
    return RecordingRule(
        name="template:coder_insights_agents:lost",
        expr=str(lost.sum(*options.template_labels)),
        labels=options.template_labels,
        description="Agents in running workspaces that are disconnected or never connected.",
    )


def _total_agents(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="template:coder_insights_agents:total",
        expr=str(options.query.latest(catalogue.AGENTS).sum(*options.template_labels)),
        labels=options.template_labels,
        description="Agents in running workspaces.",
    )


def _usage_growth(options: InstallOptions) -> RecordingRule:
    growth = options.query.increase(catalogue.TEMPLATE_USAGE, "1h").sum(*options.target_labels)
    return RecordingRule(
        name="deployment:coder_insights_template_usage_seconds:increase_1h",
        expr=str(growth),
        labels=options.target_labels,
        description="Increase of the usage of all templates within an hour.",
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
        summary="Many agents of a template are disconnected.",
        description=(
            f"{TEMPLATE_SUBJECT}:"
            " {{ $value | humanizePercentage }} of the agents in running workspaces are not connected to"
            " Coder."
        ),
        rationale="Three consecutive polls exclude restarts of single workspaces.",
        thresholds=("lost_agents", "lost_agents_share"),
        panel=PanelLink(USER_SUPPORT.slug, "Agents", TEMPLATES_VARIABLES),
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
            f"{TEMPLATE_SUBJECT}:"
            " {{ $value | humanizePercentage }} of the connected agents differ from the server's version."
            " Their reports on apps may be incomplete."
        ),
        rationale="After an upgrade of Coder all agents are outdated; most workspaces restart within a day.",
        thresholds=("outdated_agents", "outdated_agents_share"),
        panel=PanelLink(USER_SUPPORT.slug, "Outdated agents", TEMPLATES_VARIABLES),
    )


def _usage_stalled(options: InstallOptions, growth: RecordingRule) -> Alert:
    thresholds, query, on_target = options.thresholds, options.query, options.on_target
    targets = options.target_labels
    agents = query.latest(catalogue.AGENTS, status="connected").sum(*targets)
    agents_last_week = query.at_offset(catalogue.AGENTS, "7d", status="connected").sum(*targets)
    sessions = query.latest(catalogue.SESSIONS).sum(*targets)
    last_seen = query.latest(catalogue.USER_LAST_SEEN)
    return Alert(
        name="CoderInsightsUsageStalled",
        expr=(
            f"{agents} >= {thresholds.stalled_agents:g}\n"
            f"and\n{growth.selector(query)} == 0\n"
            f"and\n(\n{sessions} >= {thresholds.stalled_sessions:g}\n"
            f"or\n(\ncount by ({', '.join(targets)}) ({last_seen} > time() - 3600)"
            f" >= {thresholds.stalled_users:g}\n"
            f"unless {on_target}\n{sessions}\n)\n"
            # Without sessions and user names, as many agents as a week ago imply as many users.
            f"or\n(\n{agents} >= {thresholds.workday_share:g} * {agents_last_week}\n"
            f"and\n{growth.selector(query)} offset 7d >= {thresholds.stalled_growth:g}\n"
            f"unless {on_target}\n{sessions}\nunless {on_target}\n{last_seen}\n)\n)"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="Workspaces are in use, but Coder records no usage.",
        description=(
            "{{ $value | humanize }} agents are connected and users are active, but usage has not grown for"
            " an hour. Coder's rollup has stalled, or agents cannot send their reports."
        ),
        rationale="The rollup runs every five minutes; an hour without growth exceeds any normal delay.",
        thresholds=("stalled_agents", "stalled_sessions", "stalled_users", "stalled_growth", "workday_share"),
        panel=PanelLink(EXPORTER_HEALTH.slug, "Recorded usage"),
    )
