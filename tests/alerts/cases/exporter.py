"""Stories of the exporter itself."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics import catalogue
from tests.alerts.cases.series import REPLICAS, Case, Scene, Series, series, up

__all__ = ["CASES", "SCENES"]

A, B = REPLICAS
_TEMPLATES = "/api/v2/insights/templates"
_NOTHING: Final[Series] = {
    key: values
    for collector in ("deployment", "insights", "inventory")
    for key, values in series(catalogue.COLLECTOR_SUCCESS, "1x5 0x30 1x10", collector=collector).items()
}


def _requests(code: str) -> Series:
    return series(catalogue.API_REQUESTS, "0x5 0+3x40", endpoint=_TEMPLATES, code=code)


def _success(values: str, collector: str) -> Series:
    return series(catalogue.COLLECTOR_SUCCESS, values, collector=collector)


def _last(values: str, *, instance: str = "") -> Series:
    return series(catalogue.LAST_SUCCESS, values, collector="insights", instance=instance)


CASES: Final = (
    Case(
        alert="ExporterDown",
        fires=up("1x5 0x9 1x9", instance=A) | up("1x5 0x9 1x9", instance=B),
        near=up("1x30", instance=B),
        pending="10m",
        at="12m",
        over="17m",
        description=(
            "Prometheus has reached no replica of job coder-insights for five minutes; dashboards are empty"
            " and no other alert on Coder's insights can fire."
        ),
    ),
    Case(
        alert="CoderUnreachable",
        fires=_requests("timeout") | _NOTHING,
        near=_success("1x50", "inventory"),
        pending="14m",
        at="20m",
        over="37m",
        description=(
            "About 84 requests to Coder within 20 minutes failed without an answer or with a server error,"
            " and nothing can be collected."
        ),
    ),
    Case(
        alert="TokenInvalid",
        fires=_requests("401") | _NOTHING,
        near=_success("1x50", "insights"),
        pending="14m",
        at="20m",
        over="37m",
        description=(
            "Coder answered about 84 requests within 20 minutes with 401: the token was revoked, has expired,"
            " belongs to another deployment, or its account is suspended."
        ),
    ),
    Case(
        alert="TokenExpiresSoon",
        fires=series(catalogue.TOKEN_EXPIRY, "100000x78 2692000x20"),
        near=series(catalogue.TOKEN_EXPIRY, "50000+300x100"),
        pending="340m",
        at="360m",
        over="400m",
        description=(
            "The exporter's token expires in 21h 46m 40s, and Coder does not extend it; after that nothing is"
            " collected."
        ),
        step="5m",
    ),
    Case(
        alert="TokenExpires",
        fires=series(catalogue.TOKEN_EXPIRY, "700000x30 3292000x10"),
        near=series(catalogue.TOKEN_EXPIRY, "300000+3600x60"),
        pending="28h",
        at="30h",
        over="32h",
        description=(
            "The exporter's token expires in 6d 20h 26m 40s, and Coder does not extend it; after that nothing"
            " is collected."
        ),
        step="1h",
    ),
    Case(
        alert="DataMissing",
        fires=_last("60x74 4500x10"),
        near=_last("0+60x90", instance=B),
        pending="64m",
        at="70m",
        over="75m",
        labels={"collector": "insights"},
        description=(
            "Collector insights last succeeded 1h 9m 0s ago; what it knew is no longer served, and alerts on"
            " it are blind."
        ),
    ),
    Case(
        alert="DataStale",
        fires=_last("60x29 1800x10") | series(catalogue.POLL_INTERVAL, "300x60"),
        near=_last("60x14 900x14 1740x20"),
        pending="20m",
        at="25m",
        over="30m",
        labels={"collector": "insights"},
        description=(
            "Collector insights last succeeded 24m 0s ago, more than 3 times the interval at which it runs."
        ),
    ),
    Case(
        alert="CollectorFailing",
        fires=_success("1x5 0x25 1x5", "insights"),
        near=_success("1x5 0x9 1 0x9 1 0x9", "insights"),
        pending="20m",
        at="25m",
        over="32m",
        labels={"collector": "insights"},
        description="Collector insights has failed in every poll of the last 15 minutes.",
    ),
    Case(
        alert="PermissionMissing",
        fires=series(catalogue.PERMISSION, "0x25 1x9", resource="template", action="view_insights")
        | series(catalogue.PERMISSION, "0x40", resource="debug_info", action="read"),
        near=series(catalogue.PERMISSION, "1x40", resource="template", action="view_insights"),
        pending="14m",
        at="20m",
        over="26m",
        labels={"resource": "template", "action": "view_insights"},
        description=(
            "The exporter's account may not view_insights any template site-wide; what depends on it is"
            " missing or incomplete, without an error."
        ),
    ),
    Case(
        alert="CollectionDisabled",
        fires=series(catalogue.COLLECTION_ENABLED, "1x4 0x30 1x5"),
        near=series(catalogue.COLLECTION_ENABLED, "1x4 0x10 1x30"),
        pending="19m",
        at="25m",
        over="36m",
        description=(
            "Coder of job coder-insights does not collect usage statistics, so zeros and gaps mean off and"
            " not idle."
        ),
    ),
    Case(
        alert="RateLimited",
        fires=series(catalogue.RATE_LIMIT_WAIT, "0+6x60 360x60"),
        near=series(catalogue.RATE_LIMIT_WAIT, "0+2.4x60"),
        pending="14m",
        at="35m",
        over="80m",
        description=(
            "The exporter waits 10% of the time for Coder's rate limit; polls become longer and may not"
            " finish."
        ),
    ),
    Case(
        alert="PollTooLong",
        fires=series(catalogue.POLL_DURATION, "240x25 60x9") | series(catalogue.POLL_INTERVAL, "300x60"),
        near=series(catalogue.POLL_DURATION, "220x40"),
        pending="14m",
        at="20m",
        over="27m",
        description="A poll takes 80% of the interval between two polls.",
    ),
    Case(
        alert="SeriesFolded",
        fires=series(catalogue.SERIES_FOLDED, "12x25 0x9", family=catalogue.USER_ACTIVITY.name),
        near=series(catalogue.SERIES_FOLDED, "12x9 0x30", family=catalogue.USER_ACTIVITY.name),
        pending="14m",
        at="20m",
        over="27m",
        labels={"family": catalogue.USER_ACTIVITY.name},
        description=(
            "12 series of coder_insights_user_activity_seconds_total are folded into one or left out, as the"
            " limit of series per family is reached."
        ),
    ),
    Case(
        alert="CountersCorrected",
        fires=series(catalogue.COUNTER_CORRECTIONS, "0x4 3x120"),
        near=series(catalogue.COUNTER_CORRECTIONS, "3x120"),
        pending="35m",
        at="60m",
        over="390m",
        description=(
            "About 3 totals fell in Coder within six hours; their counters stand still until Coder has caught"
            " up."
        ),
        step="5m",
    ),
    Case(
        alert="ConfigReloadFailed",
        fires=series(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, "1x4 0x15 1x9", instance=A)
        | series(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, "1x40", instance=B),
        near=series(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, "1x4 0x3 1x20", instance=A),
        pending="9m",
        at="12m",
        over="21m",
        labels={"instance": A},
        description=(
            "Replica a:9766 refused its new configuration and runs on with the last good one; a restart would"
            " fail."
        ),
    ),
)

SCENES: Final = (
    Scene(
        what="Prometheus has no target of the job at all",
        alert="ExporterDown",
        series=series(catalogue.DEPLOYMENT_UNIQUE_USERS, "5x3", window="7d"),
        at="12m",
        fires=({},),
    ),
    *(
        Scene(
            what=f"a first {code} counts at once, before anything that follows from it",
            alert=alert,
            series=series(catalogue.API_REQUESTS, "_x5 3x40", endpoint=_TEMPLATES, code=code) | _NOTHING,
            at="17m",
            fires=({},),
        )
        for code, alert in (("401", "TokenInvalid"), ("unreachable", "CoderUnreachable"))
    ),
    Scene(
        what="a refused token is no outage of Coder",
        alert="CoderUnreachable",
        series=_requests("401") | _NOTHING,
        at="20m",
    ),
    Scene(
        what="agent reports from a database that still answers do not hide that Coder is away",
        alert="CoderUnreachable",
        series=_requests("502") | _NOTHING | _success("1x50", "agent_stats"),
        at="20m",
        fires=({},),
    ),
)
