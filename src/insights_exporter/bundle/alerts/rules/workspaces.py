"""Rules on workspaces and their agents: idle ones, used up quotas, failed builds, lost agents."""

from __future__ import annotations

import re

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
from insights_exporter.bundle.alerts.thresholds import format_threshold
from insights_exporter.bundle.promql import Expr, Matcher, regex, share
from insights_exporter.bundle.registry import CAPACITY_PLANNING, EXPORTER_HEALTH, USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["agents_group", "group"]


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on workspaces."""
    running, idle, failed, total = (
        _running_workspaces(options),
        _idle_workspaces(options),
        _failed_workspaces(options),
        _total_workspaces(options),
    )
    return RuleGroup(
        slug="workspaces",
        title="Workspaces",
        interval="1m",
        recordings=(running, idle, failed, total, _coderd_builds(options)),
        alerts=(
            _idle_growing(options, idle, running),
            _quota_used_up(options),
            _builds_failing(options, failed, total),
        ),
    )


def _bound_matcher(bound: float) -> Matcher:
    """Return a matcher for a bucket bound in both notations: ``86400.0`` and Go's ``86400``."""
    return regex("|".join(re.sub(r"([.+])", r"[\1]", text) for text in (repr(float(bound)), f"{bound:g}")))


def _buckets(options: InstallOptions, matcher: str | Matcher) -> Expr:
    buckets = options.query.buckets(catalogue.WORKSPACE_IDLE, "", le=matcher)
    return buckets.max(*options.template_labels).sum(*options.target_labels)


def _running_workspaces(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="deployment:coder_insights_workspace_idle_seconds:running",
        expr=str(_buckets(options, "+Inf")),
        labels=options.target_labels,
        description="Running workspaces.",
    )


def _idle_workspaces(options: InstallOptions) -> RecordingRule:
    idle_seconds = options.thresholds.idle_seconds
    used = _buckets(options, _bound_matcher(idle_seconds))
    return RecordingRule(
        name="deployment:coder_insights_workspace_idle_seconds:idle",
        expr=f"{_buckets(options, '+Inf')}\n- {used}",
        labels=options.target_labels,
        description=f"Running workspaces without use for {format_threshold(idle_seconds, 'seconds')}.",
    )


def _failed_workspaces(options: InstallOptions) -> RecordingRule:
    failed = options.query.latest(catalogue.WORKSPACES, status="failed")
    return RecordingRule(
        name="template:coder_insights_workspaces:failed",
        expr=str(failed),
        labels=options.template_labels,
        description="Workspaces whose latest build failed.",
    )


def _total_workspaces(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="template:coder_insights_workspaces:total",
        expr=str(options.query.latest(catalogue.WORKSPACES).sum(*options.template_labels)),
        labels=options.template_labels,
        description="Workspaces of the template.",
    )


def _coderd_builds(options: InstallOptions) -> RecordingRule:
    """Return the builds that each coderd counted, without a series per workspace.

    A series per workspace and version starts at 1, so that its increase misses the first build. The rule has
    no result unless Prometheus scrapes coderd, which has a job of its own.
    """
    labels = (*options.target_labels, "instance", "template_name", "workspace_transition", "status")
    return RecordingRule(
        name="instance:coderd_workspace_builds_total:sum",
        expr=f"sum by ({', '.join(labels)}) (coderd_workspace_builds_total)",
        labels=labels,
        description="Builds that coderd's provisioners finished; absent unless Prometheus scrapes coderd.",
    )


def _idle_growing(options: InstallOptions, idle: RecordingRule, running: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    idle_selector, running_selector = idle.selector(query), running.selector(query)
    ratio = share(idle_selector, running_selector)
    ratio_last_week = share(f"{idle_selector} offset 7d", f"{running_selector} offset 7d")
    return Alert(
        name="CoderInsightsIdleWorkspacesGrowing",
        expr=(
            f"{ratio} >= {thresholds.idle_workspaces_share:g}\n"
            f"and\n{ratio} >= {thresholds.idle_workspaces_growth:g} * ({ratio_last_week})\n"
            f"and\n{idle_selector} >= {thresholds.idle_workspaces:g}"
        ),
        for_="1d",
        severity=Severity.INFO,
        summary="A growing share of running workspaces is idle.",
        description=(
            "{{ $value | humanizePercentage }} of the running workspaces had no use for"
            f" {format_threshold(thresholds.idle_seconds, 'seconds')}, and the share grows."
        ),
        rationale="A day excludes nights and weekends of single teams; the comparison is with a week ago.",
        thresholds=("idle_seconds", "idle_workspaces_share", "idle_workspaces_growth", "idle_workspaces"),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Reclaimable workspaces"),
    )


def _quota_used_up(options: InstallOptions) -> Alert:
    thresholds = options.thresholds
    # Groups of an organization overlap, so the one with most of such members stands for all.
    members = options.query.latest(catalogue.GROUP_MEMBERS_AT_BUDGET)
    return Alert(
        name="CoderInsightsQuotaUsedUp",
        expr=(
            f"{members.max(*options.target_labels, 'organization_name')} >= {thresholds.members_at_budget:g}"
        ),
        for_="1h",
        severity=Severity.WARNING,
        summary="Several members of a group have used up their quota.",
        description=(
            'Organization {{ $labels.organization_name }}: {{ printf "%.0f" $value }} members of a group have'
            " workspaces that cost as much as their budget or more. They cannot start further workspaces."
        ),
        rationale="An hour excludes workspaces that are stopped or deleted soon.",
        thresholds=("members_at_budget",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Budgets of groups", {"organizations": "organization_name"}),
    )


def _builds_failing(options: InstallOptions, failed: RecordingRule, total: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    return Alert(
        name="CoderInsightsBuildsFailing",
        expr=(
            f"{share(failed.selector(query), total.selector(query))}"
            f" >= {thresholds.failed_workspaces_share:g}\n"
            f"and\n{failed.selector(query)} >= {thresholds.failed_workspaces:g}"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="The latest builds of many workspaces of a template failed.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "the latest build of"
            " {{ $value | humanizePercentage }} of the workspaces failed."
        ),
        rationale="Half an hour covers a retry; a quarter excludes mistakes of single users.",
        thresholds=("failed_workspaces_share", "failed_workspaces"),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Latest builds by template", TEMPLATES_VARIABLES),
    )


def agents_group(options: InstallOptions) -> RuleGroup:
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
