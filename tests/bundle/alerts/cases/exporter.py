"""Stories of the exporter itself."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics import catalogue
from tests.bundle.alerts.cases.series import REPLICAS, FiringCase, Scenario, Series, series, up_series

__all__ = ["CASES", "SCENARIOS"]

A, B = REPLICAS
_TEMPLATES = "/api/v2/insights/templates"
_ALL_COLLECTORS_FAIL: Final[Series] = {
    key: values
    for collector in ("deployment", "insights", "inventory")
    for key, values in series(catalogue.COLLECTOR_SUCCESS, "1x5 0x30 1x10", collector=collector).items()
}


def _requests(code: str) -> Series:
    return series(catalogue.API_REQUESTS, "0x5 0+3x40", endpoint=_TEMPLATES, code=code)


def _success(values: str, collector: str) -> Series:
    return series(catalogue.COLLECTOR_SUCCESS, values, collector=collector)


def _last_success(values: str, *, instance: str = "") -> Series:
    return series(catalogue.LAST_SUCCESS, values, collector="insights", instance=instance)


CASES: Final = (
    FiringCase(
        alert="ExporterDown",
        firing_series=up_series("1x5 0x9 1x9", instance=A) | up_series("1x5 0x9 1x9", instance=B),
        near_miss_series=up_series("1x30", instance=B),
        pending_at="10m",
        firing_at="12m",
        resolved_at="17m",
        description=(
            "Prometheus has reached no replica of job coder-insights for five minutes; dashboards are empty"
            " and no other alert on Coder's insights can fire."
        ),
    ),
    FiringCase(
        alert="CoderUnreachable",
        firing_series=_requests("timeout") | _ALL_COLLECTORS_FAIL,
        near_miss_series=_success("1x50", "inventory"),
        pending_at="14m",
        firing_at="20m",
        resolved_at="37m",
        description=(
            "About 84 requests to Coder within 20 minutes failed without an answer or with a server error,"
            " and nothing can be collected."
        ),
    ),
    FiringCase(
        alert="TokenInvalid",
        firing_series=_requests("401") | _ALL_COLLECTORS_FAIL,
        near_miss_series=_success("1x50", "insights"),
        pending_at="14m",
        firing_at="20m",
        resolved_at="37m",
        description=(
            "Coder answered about 84 requests within 20 minutes with 401: the token was revoked, has expired,"
            " belongs to another deployment, or its account is suspended."
        ),
    ),
    FiringCase(
        alert="TokenExpiresSoon",
        firing_series=series(catalogue.TOKEN_EXPIRY, "100000x78 2692000x20"),
        near_miss_series=series(catalogue.TOKEN_EXPIRY, "50000+300x100"),
        pending_at="340m",
        firing_at="360m",
        resolved_at="400m",
        description=(
            "The exporter's token expires in 21h 46m 40s, and Coder does not extend it; after that nothing is"
            " collected."
        ),
        step="5m",
    ),
    FiringCase(
        alert="TokenExpires",
        firing_series=series(catalogue.TOKEN_EXPIRY, "700000x30 3292000x10"),
        near_miss_series=series(catalogue.TOKEN_EXPIRY, "300000+3600x60"),
        pending_at="28h",
        firing_at="30h",
        resolved_at="32h",
        description=(
            "The exporter's token expires in 6d 20h 26m 40s, and Coder does not extend it; after that nothing"
            " is collected."
        ),
        step="1h",
    ),
    FiringCase(
        alert="DataMissing",
        firing_series=_last_success("60x74 4500x10"),
        near_miss_series=_last_success("0+60x90", instance=B),
        pending_at="64m",
        firing_at="70m",
        resolved_at="75m",
        labels={"collector": "insights"},
        description=(
            "Collector insights last succeeded 1h 9m 0s ago; what it knew is no longer served, and alerts on"
            " it are blind."
        ),
    ),
    FiringCase(
        alert="DataStale",
        firing_series=_last_success("60x29 1800x10") | series(catalogue.POLL_INTERVAL, "300x60"),
        near_miss_series=_last_success("60x14 900x14 1740x20"),
        pending_at="20m",
        firing_at="25m",
        resolved_at="30m",
        labels={"collector": "insights"},
        description=(
            "Collector insights last succeeded 24m 0s ago, more than 3 times the interval at which it runs."
        ),
    ),
    FiringCase(
        alert="CollectorFailing",
        firing_series=_success("1x5 0x25 1x5", "insights"),
        near_miss_series=_success("1x5 0x9 1 0x9 1 0x9", "insights"),
        pending_at="20m",
        firing_at="25m",
        resolved_at="32m",
        labels={"collector": "insights"},
        description="Collector insights has failed in every poll of the last 15 minutes.",
    ),
    FiringCase(
        alert="PermissionMissing",
        firing_series=series(catalogue.PERMISSION, "0x25 1x9", resource="template", action="view_insights")
        | series(catalogue.PERMISSION, "0x40", resource="debug_info", action="read"),
        near_miss_series=series(catalogue.PERMISSION, "1x40", resource="template", action="view_insights"),
        pending_at="14m",
        firing_at="20m",
        resolved_at="26m",
        labels={"resource": "template", "action": "view_insights"},
        description=(
            "The exporter's account may not view_insights any template site-wide; what depends on it is"
            " missing or incomplete, without an error."
        ),
    ),
    FiringCase(
        alert="CollectionDisabled",
        firing_series=series(catalogue.COLLECTION_ENABLED, "1x4 0x30 1x5"),
        near_miss_series=series(catalogue.COLLECTION_ENABLED, "1x4 0x10 1x30"),
        pending_at="19m",
        firing_at="25m",
        resolved_at="36m",
        description=(
            "Coder of job coder-insights does not collect usage statistics, so zeros and gaps mean off and"
            " not idle."
        ),
    ),
    FiringCase(
        alert="RateLimited",
        firing_series=series(catalogue.RATE_LIMIT_WAIT, "0+6x60 360x60"),
        near_miss_series=series(catalogue.RATE_LIMIT_WAIT, "0+2.4x60"),
        pending_at="14m",
        firing_at="35m",
        resolved_at="80m",
        description=(
            "The exporter waits 10% of the time for Coder's rate limit; polls become longer and may not"
            " finish."
        ),
    ),
    FiringCase(
        alert="PollTooLong",
        firing_series=series(catalogue.POLL_DURATION, "240x25 60x9")
        | series(catalogue.POLL_INTERVAL, "300x60"),
        near_miss_series=series(catalogue.POLL_DURATION, "220x40"),
        pending_at="14m",
        firing_at="20m",
        resolved_at="27m",
        description="A poll takes 80% of the interval between two polls.",
    ),
    FiringCase(
        alert="SeriesFolded",
        firing_series=series(catalogue.SERIES_FOLDED, "12x25 0x9", family=catalogue.USER_ACTIVITY.name),
        near_miss_series=series(catalogue.SERIES_FOLDED, "12x9 0x30", family=catalogue.USER_ACTIVITY.name),
        pending_at="14m",
        firing_at="20m",
        resolved_at="27m",
        labels={"family": catalogue.USER_ACTIVITY.name},
        description=(
            "12 series of coder_insights_user_activity_seconds_total are folded into one or left out, as the"
            " limit of series per family is reached."
        ),
    ),
    FiringCase(
        alert="CountersCorrected",
        firing_series=series(catalogue.COUNTER_CORRECTIONS, "0x4 3x120"),
        near_miss_series=series(catalogue.COUNTER_CORRECTIONS, "3x120"),
        pending_at="35m",
        firing_at="60m",
        resolved_at="390m",
        description=(
            "About 3 totals fell in Coder within six hours; their counters stand still until Coder has caught"
            " up."
        ),
        step="5m",
    ),
    FiringCase(
        alert="ConfigReloadFailed",
        firing_series=series(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, "1x4 0x15 1x9", instance=A)
        | series(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, "1x40", instance=B),
        near_miss_series=series(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, "1x4 0x3 1x20", instance=A),
        pending_at="9m",
        firing_at="12m",
        resolved_at="21m",
        labels={"instance": A},
        description=(
            "Replica a:9766 refused its new configuration and runs on with the last good one; a restart would"
            " fail."
        ),
    ),
)

SCENARIOS: Final = (
    Scenario(
        name="Prometheus has no target of the job at all",
        alert="ExporterDown",
        series=series(catalogue.DEPLOYMENT_UNIQUE_USERS, "5x3", window="7d"),
        eval_time="12m",
        firing_labels=({},),
    ),
    *(
        Scenario(
            name=f"a first {code} counts at once, before anything that follows from it",
            alert=alert,
            series=series(catalogue.API_REQUESTS, "_x5 3x40", endpoint=_TEMPLATES, code=code)
            | _ALL_COLLECTORS_FAIL,
            eval_time="17m",
            firing_labels=({},),
        )
        for code, alert in (("401", "TokenInvalid"), ("unreachable", "CoderUnreachable"))
    ),
    Scenario(
        name="a refused token is no outage of Coder",
        alert="CoderUnreachable",
        series=_requests("401") | _ALL_COLLECTORS_FAIL,
        eval_time="20m",
    ),
    Scenario(
        name="agent reports from a database that still answers do not hide that Coder is away",
        alert="CoderUnreachable",
        series=_requests("502") | _ALL_COLLECTORS_FAIL | _success("1x50", "agent_stats"),
        eval_time="20m",
        firing_labels=({},),
    ),
)
