"""The latency objective: recorded ratios of slow users, and burn rate alerts."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, RuleGroup, Severity
from insights_exporter.bundle.alerts.rules.latency_recording_rules import (
    LatencyRecordingRules,
    high_latency,
)
from insights_exporter.bundle.promql import share
from insights_exporter.bundle.registry import DEPLOYMENT_OVERVIEW

__all__ = ["group", "objective_recordings"]

_BURN_RATE_WINDOWS: Final = ("15m", "1h", "2h", "6h", "1d", "3d")


def group(options: InstallOptions) -> RuleGroup:
    """Return the alerts on the objective."""
    return RuleGroup(
        slug="slo",
        title="Latency objective",
        interval="1m",
        alerts=(_budget_burn(options, fast=True), _budget_burn(options, fast=False)),
    )


def objective_recordings(options: InstallOptions) -> tuple[RecordingRule, ...]:
    """Return the recording rules of the objective in order of evaluation."""
    return (
        _slow_users(options),
        _measured_users(options),
        *(_slow_ratio(options, window) for window in _BURN_RATE_WINDOWS),
    )


def _slow_users(options: InstallOptions) -> RecordingRule:
    slow_users = LatencyRecordingRules(options).slow_users("objective")
    selector = slow_users.selector(options.query, step="objective")
    return RecordingRule(
        name="deployment:coder_insights_latency_seconds:slow_users",
        expr=f"sum by ({', '.join(options.target_labels)}) ({selector})",
        labels=options.target_labels,
        description="Slow users at the objective's latency; users of two templates count twice.",
    )


def _measured_users(options: InstallOptions) -> RecordingRule:
    selector = LatencyRecordingRules(options).measured_users().selector(options.query)
    return RecordingRule(
        name="deployment:coder_insights_latency_seconds:users",
        expr=f"sum by ({', '.join(options.target_labels)}) ({selector})",
        labels=options.target_labels,
        description="Users with a known latency; users of two templates count twice.",
    )


def _slow_ratio(options: InstallOptions, window: str) -> RecordingRule:
    slow_users, users = (rule(options).selector(options.query) for rule in (_slow_users, _measured_users))
    return RecordingRule(
        name=f"deployment:coder_insights_latency_seconds:slow_ratio_{window}",
        expr=share(f"sum_over_time({slow_users}[{window}])", f"sum_over_time({users}[{window}])"),
        labels=options.target_labels,
        description=f"Share of slow users at the objective's latency, averaged over {window}.",
    )


def _budget_burn(options: InstallOptions, *, fast: bool) -> Alert:
    thresholds = options.thresholds
    window_pairs = (
        (("15m", "1h", thresholds.burn_page_short), ("1h", "6h", thresholds.burn_page_long))
        if fast
        else (("2h", "1d", thresholds.burn_ticket_short), ("6h", "3d", thresholds.burn_ticket_long))
    )
    return Alert(
        name=f"CoderInsightsLatencyBudget{'Fast' if fast else 'Slow'}Burn",
        expr="\nor\n".join(_burn_rate_condition(options, *window_pair) for window_pair in window_pairs),
        for_="5m" if fast else "30m",
        severity=Severity.CRITICAL if fast else Severity.WARNING,
        summary=(
            "The monthly latency budget is used up within days."
            if fast
            else "The monthly latency budget is used up before the end of the month."
        ),
        description=(
            "{{ $value | humanizePercentage }} of users have a p50 of"
            f" {high_latency(thresholds.objective_latency, thresholds)}, in the short and in the long"
            f" window. The objective allows {1 - thresholds.objective:.2%}."
        ),
        rationale=(
            "At 14.4 or 6 times the allowed rate the budget lasts less than a week; the short window ends the"
            " alert soon after the cause."
            if fast
            else "At 3 times or just above the allowed rate the budget lasts a week or more: open a ticket."
        ),
        thresholds=(
            "objective",
            "objective_latency",
            "latency_increase_factor",
            *(("burn_page_short", "burn_page_long") if fast else ("burn_ticket_short", "burn_ticket_long")),
            "slow_users",
        ),
        panel=PanelLink(DEPLOYMENT_OVERVIEW.slug, "Slow users by template"),
    )


def _burn_rate_condition(
    options: InstallOptions, short_window: str, long_window: str, burn_rate: float
) -> str:
    thresholds, query = options.thresholds, options.query
    max_ratio = f"{burn_rate * (1 - thresholds.objective):.6g}"
    slow_users = _slow_users(options).selector(query)
    return (
        f"(\n{_slow_ratio(options, long_window).selector(query)} > {max_ratio}\n"
        f"and\n{_slow_ratio(options, short_window).selector(query)} > {max_ratio}\n"
        f"and\nmax_over_time({slow_users}[{long_window}]) >= {thresholds.slow_users:g}\n)"
    )
