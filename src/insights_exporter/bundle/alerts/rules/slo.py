"""The objective on latency, and how fast its budget burns."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, RuleGroup, Severity
from insights_exporter.bundle.alerts.rules.latency_recording_rules import (
    LatencyRecordingRules,
    slow_description,
)
from insights_exporter.bundle.promql import share
from insights_exporter.bundle.registry import DEPLOYMENT_OVERVIEW

__all__ = ["group"]

_BURN_RATE_WINDOWS: Final = ("15m", "1h", "2h", "6h", "1d", "3d")


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on the objective."""
    query, recordings = options.query, LatencyRecordingRules(options)
    slow_users = RecordingRule(
        name="deployment:coder_insights_latency_seconds:slow_users",
        expr=f"sum by (job) ({recordings.slow_users('objective').selector(query, step='objective')})",
        labels=("job",),
        description="Slow users by the objective's step; one who uses two templates counts twice.",
    )
    measured_users = RecordingRule(
        name="deployment:coder_insights_latency_seconds:users",
        expr=f"sum by (job) ({recordings.measured_users().selector(query)})",
        labels=("job",),
        description="Users whose latency is known; one who uses two templates counts twice.",
    )
    ratios_by_window = {
        window: RecordingRule(
            name=f"deployment:coder_insights_latency_seconds:slow_ratio_{window}",
            expr=share(
                f"sum_over_time({slow_users.selector(query)}[{window}])",
                f"sum_over_time({measured_users.selector(query)}[{window}])",
            ),
            labels=("job",),
            description=f"Share of slow users by the objective's step, weighed by their time, over {window}.",
        )
        for window in _BURN_RATE_WINDOWS
    }
    return RuleGroup(
        slug="slo",
        title="Latency objective",
        interval="1m",
        recordings=(slow_users, measured_users, *ratios_by_window.values()),
        alerts=(
            _budget_burn(options, ratios_by_window, slow_users, fast=True),
            _budget_burn(options, ratios_by_window, slow_users, fast=False),
        ),
    )


def _budget_burn(
    options: InstallOptions,
    ratios_by_window: dict[str, RecordingRule],
    slow_users: RecordingRule,
    *,
    fast: bool,
) -> Alert:
    thresholds = options.thresholds
    window_pairs = (
        (("15m", "1h", thresholds.burn_page_short), ("1h", "6h", thresholds.burn_page_long))
        if fast
        else (("2h", "1d", thresholds.burn_ticket_short), ("6h", "3d", thresholds.burn_ticket_long))
    )
    return Alert(
        name=f"CoderInsightsLatencyBudget{'Fast' if fast else 'Slow'}Burn",
        expr="\nor\n".join(
            _burn_rate_condition(options, ratios_by_window, slow_users, *window_pair)
            for window_pair in window_pairs
        ),
        for_="5m" if fast else "30m",
        severity=Severity.CRITICAL if fast else Severity.WARNING,
        summary=(
            "The latency budget of a month burns within days."
            if fast
            else "The latency budget of a month burns faster than the month passes."
        ),
        description=(
            f"{{{{ $value | humanizePercentage }}}} of users were {slow_description(thresholds.objective_latency, thresholds)},"
            f" where {1 - thresholds.objective:.2%} may be, both lately and over the longer window."
        ),
        rationale=(
            "Burning 14.4 or 6 times too fast leaves less than a week; the short window ends the call soon."
            if fast
            else "Burning 3 times too fast or just too fast leaves a week or more: a ticket is enough."
        ),
        thresholds=(
            "objective",
            "objective_latency",
            "latency_increase_factor",
            *(("burn_page_short", "burn_page_long") if fast else ("burn_ticket_short", "burn_ticket_long")),
            "slow_users",
        ),
        panel=PanelLink(DEPLOYMENT_OVERVIEW.slug, "Users above the latency objective"),
    )


def _burn_rate_condition(
    options: InstallOptions,
    ratios_by_window: dict[str, RecordingRule],
    slow_users: RecordingRule,
    short_window: str,
    long_window: str,
    burn_rate: float,
) -> str:
    max_ratio = f"{burn_rate * (1 - options.thresholds.objective):.6g}"
    return (
        f"(\n{ratios_by_window[long_window].selector(options.query)} > {max_ratio}\n"
        f"and\n{ratios_by_window[short_window].selector(options.query)} > {max_ratio}\n"
        f"and\nmax_over_time({slow_users.selector(options.query)}[{long_window}]) >= {options.thresholds.slow_users:g}\n)"
    )
