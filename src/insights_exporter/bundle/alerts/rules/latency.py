"""How far away users are from their workspaces."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RuleGroup, Severity
from insights_exporter.bundle.alerts.rules.latency_recording_rules import (
    TEMPLATE_LABELS,
    THRESHOLD_BY_STEP,
    LatencyRecordingRules,
    slow_description,
)
from insights_exporter.bundle.promql import not_equal
from insights_exporter.bundle.registry import TEMPLATE_INSIGHTS, USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["group"]

_TEMPLATE_LABELS: Final = ", ".join(TEMPLATE_LABELS)


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on latency."""
    recordings = LatencyRecordingRules(options)
    return RuleGroup(
        slug="latency",
        title="Latency",
        interval="1m",
        recordings=recordings.all_rules(),
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
    critical = severity is Severity.CRITICAL
    return Alert(
        name="CoderInsightsTemplateLatency" + ("Critical" if critical else "High"),
        expr=(
            f"{slow_users} / on ({_TEMPLATE_LABELS}) ({recordings.measured_users().selector(query)} > 0) >= {thresholds.slow_users_share:g}\n"
            f"and on ({_TEMPLATE_LABELS})\n{slow_users} >= {thresholds.slow_users:g}"
        ),
        for_=for_,
        severity=severity,
        summary="Many users of a template have a " + ("very slow" if critical else "slow") + " connection.",
        description=(
            "{{ $value | humanizePercentage }} of the users of template {{ $labels.template_name }} of"
            f" {{{{ $labels.organization_name }}}} are {slow_description(threshold, thresholds)}: one round trip in twenty to"
            " their workspaces takes longer."
        ),
        rationale=(
            "Coder's page turns red there, and a quarter of an hour rules out a passing jam."
            if critical
            else "Coder's page turns yellow there; half an hour of it is no longer a passing jam."
        ),
        thresholds=(
            THRESHOLD_BY_STEP[severity.value],
            "latency_increase_factor",
            "slow_users",
            "slow_users_share",
        ),
        panel=PanelLink(TEMPLATE_INSIGHTS.slug, "Latency by user", _template_variables()),
    )


def _template_p95_high(options: InstallOptions, recordings: LatencyRecordingRules) -> Alert:
    thresholds, query = options.thresholds, options.query
    slow_users = recordings.slow_users("critical").selector(query, step="critical")
    return Alert(
        name="CoderInsightsTemplateP95High",
        expr=(
            f"{recordings.template_p95().selector(query)} > {thresholds.latency_critical:g}\n"
            f"and on ({_TEMPLATE_LABELS})\n{slow_users} >= {thresholds.slow_users:g}"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="A template's connections are slow for some of its users.",
        description=(
            "Of all round trips to workspaces of template {{ $labels.template_name }} of"
            " {{ $labels.organization_name }}, one in twenty takes {{ $value | humanizeDuration }} or longer,"
            f" and {thresholds.slow_users:g} or more users are {slow_description(thresholds.latency_critical, thresholds)}."
        ),
        rationale=(
            "Sees a slow minority that is no quarter of the users; only Coder's red step counts, as a few"
            " in yellow need no help."
        ),
        thresholds=("latency_critical", "latency_increase_factor", "slow_users"),
        panel=PanelLink(TEMPLATE_INSIGHTS.slug, "Latency over time", _template_variables()),
    )


def _app_latency_high(options: InstallOptions, recordings: LatencyRecordingRules) -> Alert:
    thresholds, query = options.thresholds, options.query
    slow_users = recordings.slow_users("critical").selector(query, step="critical")
    return Alert(
        name="CoderInsightsAppLatencyHigh",
        expr=(
            f"{recordings.app_p95().selector(query)} > {thresholds.latency_critical:g}\n"
            f"and on ({_TEMPLATE_LABELS})\n{slow_users} >= {thresholds.slow_users:g}\n"
            # Without names nobody knows who has an app open; then the template's users stand for the app's.
            f"and\n(\n{recordings.app_users().selector(query)} >= {thresholds.slow_users:g}\n"
            f"or\n({recordings.app_p95().selector(query)} unless on (job)\n{recordings.agents_reporting().selector(query)})\n)"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="The connections of an app's users are slow.",
        description=(
            "While {{ $labels.app }} is open in template {{ $labels.template_name }} of"
            " {{ $labels.organization_name }}, 95 of 100 round trips take up to"
            f" {{{{ $value | humanizeDuration }}}}, and {thresholds.slow_users:g} or more users of the template"
            f" are {slow_description(thresholds.latency_critical, thresholds)}."
        ),
        rationale="Only Coder's red step counts for one app, and three users rule out one bad line.",
        thresholds=("latency_critical", "latency_increase_factor", "slow_users"),
        panel=PanelLink(USER_SUPPORT.slug, "Latency by app", _template_variables()),
    )


def _user_latency_persistent(options: InstallOptions) -> Alert:
    thresholds = options.thresholds
    median = options.query.latest(
        catalogue.USER_LATENCY_P50, window="7d", username=not_equal(catalogue.OTHER)
    )
    return Alert(
        name="CoderInsightsUserLatencyPersistent",
        expr=f"{median} > {thresholds.latency_critical:g}",
        for_="6h",
        severity=Severity.INFO,
        summary="One user has had a slow connection for days.",
        description=(
            "Half of the time of the last seven days {{ $labels.username }} waited"
            " {{ $value | humanizeDuration }} or longer for each round trip to template"
            " {{ $labels.template_name }} of {{ $labels.organization_name }}."
        ),
        rationale="The median of a week is no single bad day; one person is a reason to help, not to page.",
        thresholds=("latency_critical",),
        panel=PanelLink(
            USER_SUPPORT.slug, "Latency of a user", _template_variables() | {"username": "username"}
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
        summary="Agents are far away from their relay.",
        description=(
            "Half of the agents that prefer relay {{ $labels.derp_region }} need"
            " {{ $value | humanizeDuration }} or longer for a round trip to it, and"
            f" {thresholds.slow_agents:g} or more are above {_milliseconds(thresholds.latency_warning)}."
        ),
        rationale="A relay adds its round trip to each keystroke; half of its agents cannot all be ill.",
        thresholds=("latency_warning", "slow_agents"),
        panel=PanelLink(USER_SUPPORT.slug, "Relay latency by region"),
    )


def _template_variables() -> dict[str, str]:
    return {"organization": "organization_name", "template": "template_name"}


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:g} ms"
