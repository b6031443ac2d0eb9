"""Rules on the latency between users, workspaces and relays."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import (
    TEMPLATE_SUBJECT,
    TEMPLATE_VARIABLES,
    TEMPLATES_VARIABLES,
    Alert,
    PanelLink,
    RuleGroup,
    Severity,
)
from insights_exporter.bundle.alerts.rules.latency_recording_rules import (
    THRESHOLD_BY_STEP,
    LatencyRecordingRules,
    high_latency,
)
from insights_exporter.bundle.alerts.rules.slo import objective_recordings
from insights_exporter.bundle.alerts.thresholds import format_threshold
from insights_exporter.bundle.promql import not_equal
from insights_exporter.bundle.registry import TEMPLATE_INSIGHTS, USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["group"]


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on latency, and the recordings of the latency objective.

    Prometheus evaluates groups independently. In one group, the objective's recordings read results of the
    same evaluation; in another group they would be up to one interval late.
    """
    recordings = LatencyRecordingRules(options)
    return RuleGroup(
        slug="latency",
        title="Latency",
        interval="1m",
        recordings=(*recordings.all_rules(), *objective_recordings(options)),
        alerts=(
            _template_latency(options, recordings, Severity.WARNING, for_="30m"),
            _template_latency(options, recordings, Severity.CRITICAL, for_="15m"),
            _template_p95_high(options, recordings),
            _app_latency_high(options, recordings),
            _user_latency_persistent(options),
            _relay_latency_high(options, recordings),
        ),
    )


def _template_latency(
    options: InstallOptions, recordings: LatencyRecordingRules, severity: Severity, *, for_: str
) -> Alert:
    thresholds, query = options.thresholds, options.query
    threshold: float = getattr(thresholds, THRESHOLD_BY_STEP[severity.value])
    slow_users = recordings.slow_users(severity.value).selector(query, step=severity.value)
    measured_users = recordings.measured_users().selector(query)
    critical = severity is Severity.CRITICAL
    return Alert(
        name="CoderInsightsTemplateLatency" + ("Critical" if critical else "High"),
        expr=(
            f"{slow_users} / {options.on_template} ({measured_users} > 0)"
            f" >= {thresholds.slow_users_share:g}\n"
            f"and {options.on_template}\n{slow_users} >= {thresholds.slow_users:g}"
        ),
        for_=for_,
        severity=severity,
        summary=(
            "Many users of a template have slow connections."
            if critical
            else "The p50 latency of many users of a template is high."
        ),
        description=(
            f"{TEMPLATE_SUBJECT}:"
            " {{ $value | humanizePercentage }} of users have a p50 of"
            f" {high_latency(threshold, thresholds)}."
        ),
        rationale=(
            "Coder's page turns red at this latency; 15 minutes exclude a short congestion."
            if critical
            else "Coder's page turns yellow at this latency; half an hour excludes a short congestion."
        ),
        thresholds=(
            THRESHOLD_BY_STEP[severity.value],
            "latency_increase_factor",
            "slow_users",
            "slow_users_share",
        ),
        panel=PanelLink(TEMPLATE_INSIGHTS.slug, "Latency by user", TEMPLATE_VARIABLES),
    )


def _template_p95_high(options: InstallOptions, recordings: LatencyRecordingRules) -> Alert:
    thresholds, query = options.thresholds, options.query
    affected_users = recordings.high_p95_users().selector(query)
    return Alert(
        name="CoderInsightsTemplateP95High",
        expr=(
            f"{recordings.template_p95().selector(query)} > {thresholds.latency_critical:g}\n"
            f"and {options.on_template}\n{affected_users} >= {thresholds.slow_users:g}"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="The p95 latency of a template is high.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "p95 of round trips is {{ $value | humanizeDuration }}, and at least"
            f" {thresholds.slow_users:g} users have a p95 of"
            f" {high_latency(thresholds.latency_critical, thresholds)}."
        ),
        rationale=(
            "It covers what a p50 hides: connections that are slow at times, and a slow minority. Only the"
            " red step counts, because a few users in yellow need no reaction."
        ),
        thresholds=("latency_critical", "latency_increase_factor", "slow_users"),
        panel=PanelLink(TEMPLATE_INSIGHTS.slug, "Latency over time", TEMPLATE_VARIABLES),
    )


def _app_latency_high(options: InstallOptions, recordings: LatencyRecordingRules) -> Alert:
    thresholds, query = options.thresholds, options.query
    affected_users = recordings.high_p95_users().selector(query)
    app_p95, app_users = recordings.app_p95().selector(query), recordings.app_users().selector(query)
    return Alert(
        name="CoderInsightsAppLatencyHigh",
        expr=(
            f"{app_p95} > {thresholds.latency_critical:g}\n"
            f"and {options.on_template}\n{affected_users} >= {thresholds.slow_users:g}\n"
            # Without user names the users of an app are unknown; then those of the template count.
            f"and\n(\n{app_users} >= {thresholds.slow_users:g}\n"
            f"or\n({app_p95} unless {options.on_target}\n{recordings.agents_reporting().selector(query)})\n)"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="Connections are slow while an app is open.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "p95 of round trips while"
            " {{ $labels.app }} is open is {{ $value | humanizeDuration }}, and at least"
            f" {thresholds.slow_users:g} users of the template have a p95 of"
            f" {high_latency(thresholds.latency_critical, thresholds)}."
        ),
        rationale="Only Coder's red step counts for an app, and three users exclude one bad connection.",
        thresholds=("latency_critical", "latency_increase_factor", "slow_users"),
        panel=PanelLink(USER_SUPPORT.slug, "Latency by app", TEMPLATES_VARIABLES),
    )


def _user_latency_persistent(options: InstallOptions) -> Alert:
    thresholds = options.thresholds
    median = options.query.latest(
        catalogue.USER_LATENCY_P50, window="7d", username=not_equal(catalogue.OTHER)
    )
    return Alert(
        name="CoderInsightsUserLatencyPersistent",
        expr=f"{median} >= {thresholds.latency_critical:g}",
        for_="6h",
        severity=Severity.INFO,
        summary="A user has had a slow connection for days.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "the p50 of"
            " {{ $labels.username }} over 7 days is {{ $value | humanizeDuration }}."
        ),
        rationale="The median of a week excludes single bad days; one slow user needs help, not a page.",
        thresholds=("latency_critical",),
        panel=PanelLink(
            USER_SUPPORT.slug, "Latency of selected users", TEMPLATES_VARIABLES | {"username": "username"}
        ),
    )


def _relay_latency_high(options: InstallOptions, recordings: LatencyRecordingRules) -> Alert:
    thresholds, query = options.thresholds, options.query
    all_agents = query.buckets(catalogue.AGENT_RELAY_LATENCY, "", le="+Inf")
    fast_agents = query.buckets(catalogue.AGENT_RELAY_LATENCY, "", le=repr(float(thresholds.latency_warning)))
    return Alert(
        name="CoderInsightsRelayLatencyHigh",
        expr=(
            f"{recordings.relay_p50().selector(query)} > {thresholds.latency_warning:g}\n"
            f"and\n{all_agents}\n- {fast_agents} >= {thresholds.slow_agents:g}"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="The latency between agents and their relay is high.",
        description=(
            "Relay {{ $labels.derp_region }}: the median round trip of its agents is"
            f" {{{{ $value | humanizeDuration }}}}, and at least {thresholds.slow_agents:g} agents are above"
            f" {format_threshold(thresholds.latency_warning, 'seconds')}."
        ),
        rationale="A relay adds its round trip to each keystroke; half of its agents share one cause.",
        thresholds=("latency_warning", "slow_agents"),
        panel=PanelLink(USER_SUPPORT.slug, "Relay latency by region"),
    )
