"""Self metrics of the exporter: instrumented with OpenTelemetry, read live at each scrape."""

from __future__ import annotations

from functools import partial
from typing import Final

from insights_exporter.metrics.family import PREFIX, Family, FamilyGroup, MetricType

DURATION_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds for requests, collector runs and scrapes."""

_group = FamilyGroup("exporter", prefix=f"{PREFIX}exporter_")
_gauge = partial(_group.declare, MetricType.GAUGE)
_seconds_gauge = partial(_gauge, unit="seconds")


def _counter(
    name: str, help_text: str, labels: tuple[str, ...] = (), *, unit: str = "", required_setting: str = ""
) -> Family:
    return _group.declare(
        MetricType.COUNTER,
        name,
        help_text,
        labels,
        unit=unit,
        summable=frozenset(labels),
        required_setting=required_setting,
    )


def _duration_histogram(name: str, help_text: str, labels: tuple[str, ...] = ()) -> Family:
    return _group.declare(
        MetricType.HISTOGRAM, name, help_text, labels, unit="seconds", summable=frozenset(labels)
    )


BUILD_INFO = _gauge(
    "build_info", "Version of the exporter and of Python; always 1.", ("version", "python_version")
)
POLLS = _counter("polls_total", "Finished polls by result: ok, partial or failed.", ("result",))
POLL_INTERVAL = _seconds_gauge("poll_interval_seconds", "Seconds between two polls, as configured.")
POLL_DURATION = _seconds_gauge("poll_duration_seconds", "Seconds the last poll took.")
COLLECTOR_SUCCESS = _gauge(
    "collector_success",
    "Result of the collector's last run: 1 if it succeeded, 0 if it failed.",
    ("collector",),
)
COLLECTOR_ERRORS = _counter(
    "collector_errors_total",
    "Failed runs and failed parts of runs of the collector by reason.",
    ("collector", "reason"),
)
COLLECTOR_DURATION = _duration_histogram(
    "collector_duration_seconds", "Seconds that runs of the collector took.", ("collector",)
)
LAST_SUCCESS = _seconds_gauge(
    "last_success_timestamp_seconds", "Unix time of the collector's last success.", ("collector",)
)
API_REQUESTS = _counter(
    "api_requests_total",
    "Requests to Coder by endpoint and by HTTP status or reason of failure.",
    ("endpoint", "code"),
)
API_REQUEST_DURATION = _duration_histogram(
    "api_request_duration_seconds", "Seconds that requests to Coder took.", ("endpoint",)
)
API_TIME_RATIO = _gauge(
    "api_time_ratio",
    "Seconds that requests to Coder took from the previous poll to the end of the last one, "
    "divided by the poll interval. Concurrent requests count each, so the ratio can exceed 1.",
)
API_TIME_LIMIT = _gauge(
    "api_time_limit_ratio",
    "Maximum share of the time that Coder spends on requests, averaged over an hour, as configured.",
)
API_RETRIES = _counter(
    "api_retries_total", "Retried requests to Coder by endpoint and reason.", ("endpoint", "reason")
)
RATE_LIMIT_WAIT = _counter(
    "rate_limit_wait_seconds_total", "Seconds spent waiting for Coder's rate limit.", unit="seconds"
)
ROWS_DROPPED = _counter("rows_dropped_total", "Invalid rows dropped from Coder's responses.", ("endpoint",))
PERMISSION = _gauge(
    "permission", "Permission of the token: 1 if granted, 0 if denied.", ("resource", "action")
)
TOKEN_EXPIRY = _seconds_gauge(
    "token_expiry_timestamp_seconds", "Unix time at which the session token expires; absent if unknown."
)
SERIES = _gauge("series", "Served series of the family.", ("family",), summable=frozenset(("family",)))
SERIES_FOLDED = _gauge(
    "series_folded",
    "Series of the family that its limit folded or dropped.",
    ("family",),
    summable=frozenset(("family",)),
)
ITEMS_WITHHELD = _gauge(
    "items_withheld",
    "Numbers and groups of numbers withheld because they describe too few people, by kind; absent without"
    " privacy.min_group_size.",
    ("kind",),
    summable=frozenset(("kind",)),
    required_setting="privacy.min_group_size",
)
COUNTER_CORRECTIONS = _counter(
    "corrections_total", "Counters held at their last value because the total in Coder decreased."
)
EXPOSITION_BYTES = _gauge(
    "exposition_bytes",
    "Bytes of the last rendered exposition by format, uncompressed.",
    ("format",),
    unit="bytes",
)
SCRAPES = _counter("scrapes_total", "Answered scrapes by HTTP status.", ("code",))
SCRAPE_DURATION = _duration_histogram("scrape_duration_seconds", "Seconds that answering scrapes took.")
CONFIG_LAST_RELOAD_SUCCESSFUL = _gauge(
    "config_last_reload_successful",
    "Result of the last configuration reload: 1 if it succeeded, 0 if it failed.",
)
CONFIG_LAST_RELOAD_TIMESTAMP = _seconds_gauge(
    "config_last_reload_success_timestamp_seconds", "Unix time of the last successful configuration reload."
)
AGENT_STATS_ROWS = _counter(
    "agent_stats_rows_total",
    "Agent reports read by result.",
    ("result",),
    required_setting="agent_stats.source",
)
AGENT_STATS_LAG = _seconds_gauge(
    "agent_stats_lag_seconds",
    "Seconds since the newest agent report that was read.",
    required_setting="agent_stats.source",
)
OTLP_EXPORTS = _counter(
    "otlp_exports_total",
    "OTLP pushes by result: ok, partial, failed or skipped.",
    ("result",),
    required_setting="otlp.enabled",
)
OTLP_EXPORT_ERRORS = _counter(
    "otlp_export_errors_total",
    "OTLP pushes that failed or were partially rejected, by reason.",
    ("reason",),
    required_setting="otlp.enabled",
)

EXPORTER_FAMILIES: Final = _group.families
