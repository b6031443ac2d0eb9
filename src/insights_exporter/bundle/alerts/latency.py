"""How far away users are from their workspaces."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.latency_records import OF_TEMPLATE, STEPS, LatencyRecords, slowly
from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import TEMPLATE_INSIGHTS, USER_SUPPORT
from insights_exporter.bundle.queries import but
from insights_exporter.metrics import catalogue

__all__ = ["group"]

_BY: Final = ", ".join(OF_TEMPLATE)


def group(site: Site) -> Group:
    """Return the rules on latency."""
    recorded = LatencyRecords(site)
    return Group(
        subject="latency",
        title="Latency",
        interval="1m",
        recordings=recorded.all(),
        alerts=(
            _users(site, recorded, Severity.WARNING, wait="30m"),
            _users(site, recorded, Severity.CRITICAL, wait="15m"),
            _template(site, recorded),
            _app(site, recorded),
            _user(site),
            _relay(site, recorded),
        ),
    )


def _users(site: Site, recorded: LatencyRecords, severity: Severity, *, wait: str) -> Alert:
    limits, scope = site.thresholds, site.scope
    above: float = getattr(limits, STEPS[severity.value])
    slow = recorded.slow(severity.value).read(scope, step=severity.value)
    critical = severity is Severity.CRITICAL
    return Alert(
        name="CoderInsightsTemplateLatency" + ("Critical" if critical else "High"),
        expr=(
            f"{slow} / on ({_BY}) ({recorded.measured().read(scope)} > 0) >= {limits.slow_users_share:g}\n"
            f"and on ({_BY})\n{slow} >= {limits.slow_users:g}"
        ),
        wait=wait,
        severity=severity,
        summary="Many users of a template have a " + ("very slow" if critical else "slow") + " connection.",
        description=(
            "{{ $value | humanizePercentage }} of the users of template {{ $labels.template_name }} of"
            f" {{{{ $labels.organization_name }}}} are {slowly(above, limits)}: one round trip in twenty to"
            " their workspaces takes longer."
        ),
        because=(
            "Coder's page turns red there, and a quarter of an hour rules out a passing jam."
            if critical
            else "Coder's page turns yellow there; half an hour of it is no longer a passing jam."
        ),
        limits=(STEPS[severity.value], "latency_rise", "slow_users", "slow_users_share"),
        panel=Panel(TEMPLATE_INSIGHTS.slug, "Latency by user", _template_variables()),
    )


def _template(site: Site, recorded: LatencyRecords) -> Alert:
    limits, scope = site.thresholds, site.scope
    slow = recorded.slow("critical").read(scope, step="critical")
    return Alert(
        name="CoderInsightsTemplateP95High",
        expr=(
            f"{recorded.template().read(scope)} > {limits.latency_critical:g}\n"
            f"and on ({_BY})\n{slow} >= {limits.slow_users:g}"
        ),
        wait="30m",
        severity=Severity.WARNING,
        summary="A template's connections are slow for some of its users.",
        description=(
            "Of all round trips to workspaces of template {{ $labels.template_name }} of"
            " {{ $labels.organization_name }}, one in twenty takes {{ $value | humanizeDuration }} or longer,"
            f" and {limits.slow_users:g} or more users are {slowly(limits.latency_critical, limits)}."
        ),
        because=(
            "Sees a slow minority that is no quarter of the users; only Coder's red step counts, as a few"
            " in yellow need no help."
        ),
        limits=("latency_critical", "latency_rise", "slow_users"),
        panel=Panel(TEMPLATE_INSIGHTS.slug, "Latency over time", _template_variables()),
    )


def _app(site: Site, recorded: LatencyRecords) -> Alert:
    limits, scope = site.thresholds, site.scope
    slow = recorded.slow("critical").read(scope, step="critical")
    return Alert(
        name="CoderInsightsAppLatencyHigh",
        expr=(
            f"{recorded.app().read(scope)} > {limits.latency_critical:g}\n"
            f"and on ({_BY})\n{slow} >= {limits.slow_users:g}\n"
            # Without names nobody knows who has an app open; then the template's users stand for the app's.
            f"and\n(\n{recorded.app_users().read(scope)} >= {limits.slow_users:g}\n"
            f"or\n({recorded.app().read(scope)} unless on (job)\n{recorded.reporting().read(scope)})\n)"
        ),
        wait="30m",
        severity=Severity.WARNING,
        summary="The connections of an app's users are slow.",
        description=(
            "While {{ $labels.app }} is open in template {{ $labels.template_name }} of"
            " {{ $labels.organization_name }}, 95 of 100 round trips take up to"
            f" {{{{ $value | humanizeDuration }}}}, and {limits.slow_users:g} or more users of the template"
            f" are {slowly(limits.latency_critical, limits)}."
        ),
        because="Only Coder's red step counts for one app, and three users rule out one bad line.",
        limits=("latency_critical", "latency_rise", "slow_users"),
        panel=Panel(USER_SUPPORT.slug, "Latency by app", _template_variables()),
    )


def _user(site: Site) -> Alert:
    limits = site.thresholds
    median = site.scope.latest(catalogue.USER_LATENCY_P50, window="7d", username=but(catalogue.OTHER))
    return Alert(
        name="CoderInsightsUserLatencyStanding",
        expr=f"{median} > {limits.latency_critical:g}",
        wait="6h",
        severity=Severity.INFO,
        summary="One user has had a slow connection for days.",
        description=(
            "Half of the time of the last seven days {{ $labels.username }} waited"
            " {{ $value | humanizeDuration }} or longer for each round trip to template"
            " {{ $labels.template_name }} of {{ $labels.organization_name }}."
        ),
        because="The median of a week is no single bad day; one person is a reason to help, not to page.",
        limits=("latency_critical",),
        panel=Panel(USER_SUPPORT.slug, "Latency of a user", _template_variables() | {"username": "username"}),
    )


def _relay(site: Site, recorded: LatencyRecords) -> Alert:
    limits, scope = site.thresholds, site.scope
    inf = scope.buckets(catalogue.AGENT_RELAY_LATENCY, "", le="+Inf")
    near = scope.buckets(catalogue.AGENT_RELAY_LATENCY, "", le=repr(float(limits.latency_warning)))
    return Alert(
        name="CoderInsightsRelayLatencyHigh",
        expr=(
            f"{recorded.relay().read(scope)} > {limits.latency_warning:g}\n"
            f"and\n{inf}\n- {near} >= {limits.slow_agents:g}"
        ),
        wait="30m",
        severity=Severity.WARNING,
        summary="Agents are far away from their relay.",
        description=(
            "Half of the agents that prefer relay {{ $labels.derp_region }} need"
            " {{ $value | humanizeDuration }} or longer for a round trip to it, and"
            f" {limits.slow_agents:g} or more are above {_milliseconds(limits.latency_warning)}."
        ),
        because="A relay adds its round trip to each keystroke; half of its agents cannot all be ill.",
        limits=("latency_warning", "slow_agents"),
        panel=Panel(USER_SUPPORT.slug, "Relay latency by region"),
    )


def _template_variables() -> dict[str, str]:
    return {"organization": "organization_name", "template": "template_name"}


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:g} ms"
