"""Cases of alerts on latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from tests.bundle.alerts.cases.series import (
    TEMPLATE,
    FiringCase,
    Scenario,
    Series,
    gauge_histogram_series,
    histogram_series,
    series,
)

__all__ = ["CASES", "SCENARIOS"]

_TEMPLATE_VARIABLES = "&var-organization=acme&var-template=go-dev"
_TEMPLATES_VARIABLES = "&var-organizations=acme&var-templates=go-dev"
_FAST_SECONDS, _WARNING_SECONDS, _CRITICAL_SECONDS = 0.04, 0.18, 0.4


def _reported_latency(
    slow_users: int, fast_users: int, value: float, *, until: int = 60, steps: int = 120
) -> Series:
    """Return reports of slow users, who are fast after ``until`` steps, and of users who are always fast."""
    series_by_name: Series = {}
    for number in range(slow_users):
        phases = ((until, value), (steps - until, _FAST_SECONDS))
        series_by_name |= histogram_series(catalogue.CONNECTION_LATENCY, *phases, username=f"slow-{number}")
    for number in range(fast_users):
        series_by_name |= histogram_series(
            catalogue.CONNECTION_LATENCY, (steps, _FAST_SECONDS), username=f"fast-{number}"
        )
    return series_by_name


def _latency_today(*phases: tuple[int, list[float]], statistic: str = "p50") -> Series:
    return gauge_histogram_series(
        catalogue.TEMPLATE_USER_LATENCY, *phases, statistic=statistic, window="today"
    )


def _user_latency_today(value: float, *users: str) -> Series:
    return _series_per_user(catalogue.USER_LATENCY_P50, value, users, window="today")


def _user_baseline(value: float, *users: str) -> Series:
    return _series_per_user(catalogue.USER_LATENCY_P50, value, users, window="30d")


def _series_per_user(family: Family, value: float, users: Sequence[str], **labels: str) -> Series:
    series_by_name: Series = {}
    for user in users:
        series_by_name |= series(family, f"{value}x120", username=user, **labels)
    return series_by_name


def _template_baseline(values: list[float]) -> Series:
    return gauge_histogram_series(
        catalogue.TEMPLATE_USER_LATENCY, (120, values), statistic="p50", window="30d"
    )


def _app_latency(value: float) -> Series:
    return histogram_series(catalogue.APP_CONNECTION_LATENCY, (60, value), (60, _FAST_SECONDS))


def _open_sessions(users: int) -> Series:
    series_by_name: Series = {}
    for number in range(users):
        series_by_name |= series(catalogue.USER_APP_SESSION, "0+60x120", username=f"user-{number}")
    return series_by_name


def _closed_sessions(users: int) -> Series:
    series_by_name: Series = {}
    for number in range(users):
        series_by_name |= series(catalogue.USER_APP_SESSION, "60x120", username=f"user-{number}")
    return series_by_name


CASES: Final = (
    FiringCase(
        alert="TemplateLatencyHigh",
        firing_series=_reported_latency(3, 5, _WARNING_SECONDS),
        near_miss_series=_reported_latency(1, 0, _FAST_SECONDS, until=119),
        pending_at="30m",
        firing_at="50m",
        resolved_at="90m",
        labels=TEMPLATE,
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Template go-dev of acme: 37.5% of users have a p50 of 150 ms or more and above 2"
            " times their usual p50."
        ),
    ),
    FiringCase(
        alert="TemplateLatencyCritical",
        firing_series=_reported_latency(3, 5, _CRITICAL_SECONDS),
        near_miss_series=_reported_latency(0, 13, _CRITICAL_SECONDS),
        pending_at="15m",
        firing_at="30m",
        resolved_at="90m",
        labels=TEMPLATE,
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Template go-dev of acme: 37.5% of users have a p50 of 300 ms or more and above 2"
            " times their usual p50."
        ),
    ),
    FiringCase(
        alert="TemplateP95High",
        firing_series=_reported_latency(3, 17, _CRITICAL_SECONDS),
        near_miss_series=histogram_series(
            catalogue.CONNECTION_LATENCY, (120, _FAST_SECONDS), username="slow-2"
        ),
        pending_at="30m",
        firing_at="50m",
        resolved_at="90m",
        labels=TEMPLATE,
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Template go-dev of acme: p95 of round trips is 433.3ms, and at least 3 users have a p95 of"
            " 300 ms or more and above 2 times their usual p50."
        ),
    ),
    FiringCase(
        alert="AppLatencyHigh",
        firing_series=_app_latency(_CRITICAL_SECONDS)
        | _open_sessions(3)
        | _reported_latency(3, 2, _CRITICAL_SECONDS),
        near_miss_series=_closed_sessions(1),
        pending_at="30m",
        firing_at="50m",
        resolved_at="90m",
        labels={**TEMPLATE, "app": "jupyter"},
        url_variables=_TEMPLATES_VARIABLES,
        description=(
            "Template go-dev of acme: p95 of round trips while jupyter is open is 490ms, and at least 3"
            " users of the template have a p95 of 300 ms or more and above 2 times their usual p50."
        ),
    ),
    FiringCase(
        alert="UserLatencyPersistent",
        firing_series=series(catalogue.USER_LATENCY_P50, "0.35x90 0.1x9", window="7d"),
        near_miss_series=series(catalogue.USER_LATENCY_P50, "0.29x90", window="7d")
        | series(catalogue.USER_LATENCY_P50, "0.9x90", window="today"),
        pending_at="355m",
        firing_at="420m",
        resolved_at="460m",
        labels={**TEMPLATE, "username": "ada"},
        url_variables=f"{_TEMPLATES_VARIABLES}&var-username=ada",
        description="Template go-dev of acme: the p50 of ada over 7 days is 350ms.",
        step="5m",
    ),
    FiringCase(
        alert="RelayLatencyHigh",
        firing_series=gauge_histogram_series(
            catalogue.AGENT_RELAY_LATENCY, (50, [0.25] * 4), (9, [0.04] * 4), derp_region="Sydney"
        ),
        near_miss_series=gauge_histogram_series(
            catalogue.AGENT_RELAY_LATENCY, (50, [0.25] * 2), derp_region="Sydney"
        ),
        pending_at="29m",
        firing_at="40m",
        resolved_at="52m",
        labels={"derp_region": "Sydney"},
        description=(
            "Relay Sydney: the median round trip of its agents is 250ms, and at least 3 agents are above"
            " 150 ms."
        ),
    ),
    FiringCase(
        alert="LatencyBudgetFastBurn",
        firing_series=_latency_today(
            (72, [_FAST_SECONDS] * 10),
            (16, [_CRITICAL_SECONDS] * 8 + [_FAST_SECONDS] * 2),
            (9, [_FAST_SECONDS] * 10),
        ),
        near_miss_series=_latency_today((72, [_FAST_SECONDS] * 2), (16, [_CRITICAL_SECONDS] * 2)),
        pending_at="400m",
        firing_at="430m",
        resolved_at="460m",
        description=(
            "80% of users have a p50 of 300 ms or more and above 2 times their usual p50, in the short and in"
            " the long window. The objective allows 5.00%."
        ),
        step="5m",
    ),
    FiringCase(
        alert="LatencyBudgetSlowBurn",
        firing_series=_latency_today(
            (18, [_CRITICAL_SECONDS] * 3 + [_FAST_SECONDS] * 27), (40, [_FAST_SECONDS] * 30)
        ),
        near_miss_series=_latency_today((40, [_CRITICAL_SECONDS] * 3 + [_FAST_SECONDS] * 72)),
        pending_at="25m",
        firing_at="60m",
        resolved_at="240m",
        description=(
            "10% of users have a p50 of 300 ms or more and above 2 times their usual p50, in the short and in"
            " the long window. The objective allows 5.00%."
        ),
        step="5m",
    ),
)

_SLOW_BASELINE: Final = _user_baseline(0.28, "slow-0", "slow-1", "slow-2")

SCENARIOS: Final = (
    *(
        Scenario(
            name=f"{alert}: three users far away, alone at work, are no incident",
            alert=alert,
            series=_reported_latency(3, 0, _CRITICAL_SECONDS, until=119)
            | _SLOW_BASELINE
            | _app_latency(_CRITICAL_SECONDS)
            | _open_sessions(3),
            eval_time="110m",
        )
        for alert in (
            "TemplateLatencyHigh",
            "TemplateLatencyCritical",
            "TemplateP95High",
            "AppLatencyHigh",
            "LatencyBudgetFastBurn",
            "LatencyBudgetSlowBurn",
        )
    ),
    Scenario(
        name="users far away count if they are much slower than usual",
        alert="TemplateLatencyCritical",
        series=_reported_latency(3, 5, _CRITICAL_SECONDS)
        | _user_baseline(0.18, "slow-0", "slow-1", "slow-2"),
        eval_time="30m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="without agent reports, three users far away are no incident after midnight",
        alert="TemplateLatencyCritical",
        series=_latency_today((60, [_CRITICAL_SECONDS] * 3))
        | _user_latency_today(_CRITICAL_SECONDS, "slow-0", "slow-1", "slow-2")
        | _SLOW_BASELINE,
        eval_time="40m",
    ),
    Scenario(
        name="without agent reports, other slow users are an incident",
        alert="TemplateLatencyCritical",
        series=_latency_today((60, [_CRITICAL_SECONDS] * 3))
        | _user_latency_today(_CRITICAL_SECONDS, "ada", "bo", "cy")
        | _SLOW_BASELINE,
        eval_time="40m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="without user names, the usual number of slow users is no incident",
        alert="TemplateLatencyCritical",
        series=_latency_today((60, [_CRITICAL_SECONDS] * 3))
        | _template_baseline([0.28] * 3 + [_FAST_SECONDS] * 20),
        eval_time="40m",
    ),
    Scenario(
        name="without user names, more slow users than usual are an incident",
        alert="TemplateLatencyCritical",
        series=_latency_today((60, [_CRITICAL_SECONDS] * 6))
        | _template_baseline([0.28] * 3 + [_FAST_SECONDS] * 20),
        eval_time="40m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="two users of four are too few, whatever their share",
        alert="TemplateLatencyHigh",
        series=_reported_latency(2, 2, _CRITICAL_SECONDS),
        eval_time="50m",
    ),
    Scenario(
        name="three users of thirteen are less than a quarter",
        alert="TemplateLatencyCritical",
        series=_reported_latency(3, 10, _CRITICAL_SECONDS),
        eval_time="30m",
    ),
    Scenario(
        name="without agent reports, Coder's values of today count",
        alert="TemplateLatencyHigh",
        series=_latency_today((60, [_WARNING_SECONDS] * 3 + [_FAST_SECONDS] * 5)),
        eval_time="40m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="without agent reports, 15 minutes above the red step fire as well",
        alert="TemplateLatencyCritical",
        series=_latency_today((60, [_CRITICAL_SECONDS] * 3 + [_FAST_SECONDS] * 5)),
        eval_time="20m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="without agent reports, the p95 is that of the users' p95",
        alert="TemplateP95High",
        series=_latency_today((60, [_CRITICAL_SECONDS] * 3 + [_FAST_SECONDS] * 17), statistic="p95"),
        eval_time="40m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="a high p95 alone makes no user slow",
        alert="TemplateLatencyHigh",
        series=_latency_today((60, [_FAST_SECONDS] * 8))
        | _latency_today((60, [_CRITICAL_SECONDS] * 8), statistic="p95"),
        eval_time="50m",
    ),
    Scenario(
        name="a p95 that is high at times has an alert while every p50 is fast",
        alert="TemplateP95High",
        series=_latency_today((60, [_FAST_SECONDS] * 8))
        | _latency_today((60, [_CRITICAL_SECONDS] * 8), statistic="p95"),
        eval_time="50m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="a p50 of exactly 300 ms is slow, as on Coder's page",
        alert="TemplateLatencyCritical",
        series=_user_latency_today(0.3, "ada", "bo", "cy") | _latency_today((60, [0.3] * 3)),
        eval_time="40m",
        firing_labels=(TEMPLATE,),
    ),
    Scenario(
        name="fast agent reports take precedence over Coder's values of today",
        alert="TemplateLatencyCritical",
        series=_reported_latency(0, 8, _FAST_SECONDS) | _latency_today((60, [_CRITICAL_SECONDS] * 8)),
        eval_time="30m",
    ),
    Scenario(
        name="while agents report, an idle template has no slow users for any value of today",
        alert="LatencyBudgetFastBurn",
        series=_latency_today((120, [_CRITICAL_SECONDS] * 8))
        | _template_baseline([_FAST_SECONDS] * 8)
        | histogram_series(catalogue.CONNECTION_LATENCY, (120, _FAST_SECONDS), template_name="rust-dev"),
        eval_time="110m",
    ),
    Scenario(
        name="the folded series is not a user",
        alert="UserLatencyPersistent",
        series=series(catalogue.USER_LATENCY_P50, "0.9x90", window="7d", username=catalogue.OTHER),
        eval_time="420m",
        step="5m",
    ),
    Scenario(
        name="without user names, the slow users of the template count for the app",
        alert="AppLatencyHigh",
        series=_app_latency(_CRITICAL_SECONDS)
        | _latency_today((120, [_CRITICAL_SECONDS] * 3 + [_FAST_SECONDS] * 5), statistic="p95"),
        eval_time="50m",
        firing_labels=({**TEMPLATE, "app": "jupyter"},),
    ),
    Scenario(
        name="without user names, one slow user is too few",
        alert="AppLatencyHigh",
        series=_app_latency(_CRITICAL_SECONDS)
        | _latency_today((120, [_CRITICAL_SECONDS] + [_FAST_SECONDS] * 7), statistic="p95"),
        eval_time="50m",
    ),
    Scenario(
        name="the objective uses agent reports as well",
        alert="LatencyBudgetFastBurn",
        series=_reported_latency(8, 2, _CRITICAL_SECONDS, until=100),
        eval_time="80m",
        firing_labels=({},),
        step="5m",
    ),
)
