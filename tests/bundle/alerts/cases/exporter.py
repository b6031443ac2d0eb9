"""Cases of alerts on the exporter."""

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


def _build_info(values: str, instance: str) -> Series:
    return series(catalogue.BUILD_INFO, values, instance=instance, version="1.0.0", python_version="3.13")


def _replica(up: str, build_info: str, instance: str) -> Series:
    """Return the series of a scraped replica; a failed scrape makes all series but ``up`` stale."""
    return up_series(up, instance=instance) | _build_info(build_info, instance)


_PUSH_EVERY_5_MINUTES: Final = " ".join(["1 _x4"] * 12)
_PUSH_EVERY_6_MINUTES: Final = " ".join(["1 _x5"] * 10)
_PUSH_UNTIL_20_MINUTES: Final = " ".join(["1 _x4"] * 4)

CASES: Final = (
    FiringCase(
        alert="ExporterDown",
        firing_series=_replica("1x5 0x9 1x9", "1x5 stale _x8 1x9", A)
        | _replica("1x5 0x9 1x9", "1x5 stale _x8 1x9", B),
        near_miss_series=_replica("1x30", "1x30", B),
        pending_at="10m",
        firing_at="12m",
        resolved_at="17m",
        description=(
            "Job coder-insights: no replica of the exporter was scraped or has pushed for five minutes."
            " Dashboards are empty, and no other alert on this data can fire."
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
            "84 requests to Coder within 20 minutes had no response or a server error, and every"
            " collector fails."
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
            "Coder answered 84 requests within 20 minutes with 401: the token is revoked, expired or of"
            " another deployment, or its account is suspended."
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
            "The exporter's token expires in 21h 46m 40s, and Coder does not extend it. After that, no"
            " data is collected."
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
            "The exporter's token expires in 6d 20h 26m 40s, and Coder does not extend it. After that,"
            " no data is collected."
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
            "Collector insights last succeeded 1h 9m 0s ago. Its data is dropped, and alerts on it"
            " cannot fire."
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
        description="Collector insights last succeeded 24m 0s ago, more than 3 poll intervals.",
    ),
    FiringCase(
        alert="BucketsMissing",
        firing_series=_requests("200")
        | series(
            catalogue.API_REQUEST_DURATION, "_x30 3+3x20", suffix="_bucket", endpoint=_TEMPLATES, le="+Inf"
        ),
        near_miss_series=series(
            catalogue.API_REQUEST_DURATION, "0+3x50", suffix="_bucket", endpoint=_TEMPLATES, le="+Inf"
        ),
        pending_at="20m",
        firing_at="25m",
        resolved_at="32m",
        description=(
            "Job coder-insights: Prometheus has the exporter's counters, but no _bucket series of its"
            " histograms. Panels and alerts on agent reports have no data."
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
            "The exporter's account lacks the site-wide permission view_insights on template. Coder"
            " leaves out the affected rows without an error."
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
            "Coder of job coder-insights does not collect usage statistics. Zeros and gaps mean off, not"
            " idle."
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
            "The exporter waits 10% of the time for Coder's rate limit. Polls become longer and may"
            " exceed their deadline."
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
        description="A poll takes 80% of the poll interval.",
    ),
    FiringCase(
        alert="ApiTimeHigh",
        firing_series=series(catalogue.API_TIME_RATIO, "0.2x300 0.05x120")
        | series(catalogue.API_TIME_LIMIT, "0.1x420"),
        near_miss_series=series(catalogue.API_TIME_RATIO, "0.3x60 0.12x360"),
        pending_at="170m",
        firing_at="200m",
        resolved_at="400m",
        description=(
            "Coder spends 20% of the time on the exporter's requests, although all data that can wait is"
            " refreshed less often."
        ),
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
            "12 series of coder_insights_user_activity_seconds_total exceed the limit. They are folded"
            " into one series or dropped."
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
            "3 totals decreased in Coder within six hours. Their counters stay constant until Coder's"
            " total exceeds them."
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
            "Replica a:9766 rejected its new configuration and uses the last valid one. A restart would fail."
        ),
    ),
)

SCENARIOS: Final = (
    Scenario(
        name="neither a target nor a series of the job exists",
        alert="ExporterDown",
        series={'up{job="prometheus"}': "1x60"},
        eval_time="12m",
        firing_labels=({},),
    ),
    Scenario(
        name="a scraped exporter is up",
        alert="ExporterDown",
        series=_replica("1x60", "1x60", A),
        eval_time="40m",
    ),
    Scenario(
        name="the target exists, but no scrape succeeded so far",
        alert="ExporterDown",
        series=up_series("0x60", instance=A),
        eval_time="12m",
        firing_labels=({},),
    ),
    Scenario(
        name="push only: pushes arrive every five minutes",
        alert="ExporterDown",
        series=_build_info(_PUSH_EVERY_5_MINUTES, "coder-production"),
        eval_time="58m",
    ),
    Scenario(
        name="push only: a gap of a minute between late pushes is no outage",
        alert="ExporterDown",
        series=_build_info(_PUSH_EVERY_6_MINUTES, "coder-production"),
        eval_time="58m",
    ),
    Scenario(
        name="push only: no push arrives any more",
        alert="ExporterDown",
        series=_build_info(_PUSH_UNTIL_20_MINUTES, "coder-production"),
        eval_time="40m",
        firing_labels=({},),
    ),
    Scenario(
        name="scraped and pushed: only the scrape fails",
        alert="ExporterDown",
        series=_replica("1x5 0x60", "1x5 stale", A) | _build_info(_PUSH_EVERY_5_MINUTES, "coder-production"),
        eval_time="58m",
    ),
    Scenario(
        name="scraped and pushed: only the pushes fail",
        alert="ExporterDown",
        series=_replica("1x60", "1x60", A) | _build_info(_PUSH_UNTIL_20_MINUTES, "coder-production"),
        eval_time="58m",
    ),
    Scenario(
        name="scraped and pushed: both fail",
        alert="ExporterDown",
        series=_replica("1x20 0x60", "1x20 stale", A)
        | _build_info(_PUSH_UNTIL_20_MINUTES, "coder-production"),
        eval_time="40m",
        firing_labels=({},),
    ),
    *(
        Scenario(
            name=f"the first {code} counts immediately, before alerts about its consequences",
            alert=alert,
            series=series(catalogue.API_REQUESTS, "_x5 3x40", endpoint=_TEMPLATES, code=code)
            | _ALL_COLLECTORS_FAIL,
            eval_time="17m",
            firing_labels=({},),
        )
        for code, alert in (("401", "TokenInvalid"), ("unreachable", "CoderUnreachable"))
    ),
    Scenario(
        name="a rejected token is not an outage of Coder",
        alert="CoderUnreachable",
        series=_requests("401") | _ALL_COLLECTORS_FAIL,
        eval_time="20m",
    ),
    Scenario(
        name="agent reports from the database do not hide an outage of Coder",
        alert="CoderUnreachable",
        series=_requests("502") | _ALL_COLLECTORS_FAIL | _success("1x50", "agent_stats"),
        eval_time="20m",
        firing_labels=({},),
    ),
)
