"""How the exporter itself is doing; instrumented with OpenTelemetry and appended live to each scrape."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.family import PREFIX, Family, MetricType

__all__ = [
    "AGENT_STATS_LAG",
    "AGENT_STATS_ROWS",
    "API_REQUESTS",
    "API_REQUEST_DURATION",
    "API_RETRIES",
    "BUILD_INFO",
    "COLLECTOR_DURATION",
    "COLLECTOR_ERRORS",
    "COLLECTOR_SUCCESS",
    "CONFIG_LAST_RELOAD_SUCCESSFUL",
    "CONFIG_LAST_RELOAD_TIMESTAMP",
    "COUNTER_CORRECTIONS",
    "DURATION_BUCKETS",
    "EXPOSITION_BYTES",
    "FAMILIES",
    "LAST_SUCCESS",
    "OTLP_EXPORTS",
    "PERMISSION",
    "POLLS",
    "POLL_DURATION",
    "POLL_INTERVAL",
    "RATE_LIMIT_WAIT",
    "ROWS_DROPPED",
    "SCRAPES",
    "SCRAPE_DURATION",
    "SERIES",
    "SERIES_FOLDED",
    "TOKEN_EXPIRY",
]

DURATION_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds of how long calls, collectors and scrapes take."""

_COLLECTOR = "exporter"


def _family(
    name: str,
    metric_type: MetricType,
    help_text: str,
    labels: tuple[str, ...] = (),
    unit: str = "",
    required_setting: str = "",
    *,
    additive: bool = False,
) -> Family:
    additive = additive or metric_type in {MetricType.COUNTER, MetricType.HISTOGRAM}
    summable = frozenset(labels) if additive else frozenset[str]()
    return Family(
        f"{PREFIX}exporter_{name}",
        metric_type,
        help_text,
        labels,
        unit,
        summable,
        "",
        _COLLECTOR,
        required_setting,
    )


def _gauge(
    name: str, help_text: str, labels: tuple[str, ...] = (), unit: str = "", required_setting: str = ""
) -> Family:
    return _family(name, MetricType.GAUGE, help_text, labels, unit, required_setting)


def _counter(
    name: str, help_text: str, labels: tuple[str, ...] = (), unit: str = "", required_setting: str = ""
) -> Family:
    return _family(name, MetricType.COUNTER, help_text, labels, unit, required_setting)


BUILD_INFO = _gauge(
    "build_info", "Version of the exporter and of Python; always 1.", ("version", "python_version")
)
POLLS = _counter("polls_total", "Polls that ended, by result: ok, partial or failed.", ("result",))
POLL_INTERVAL = _gauge("poll_interval_seconds", "Seconds between two polls, as configured.", unit="seconds")
POLL_DURATION = _gauge("poll_duration_seconds", "How long the last poll took.", unit="seconds")
COLLECTOR_SUCCESS = _gauge(
    "collector_success", "1 if the collector's last run succeeded, 0 if it failed.", ("collector",)
)
COLLECTOR_ERRORS = _counter(
    "collector_errors_total",
    "Runs and parts of runs of a collector that failed, by reason.",
    ("collector", "reason"),
)
COLLECTOR_DURATION = _family(
    "collector_duration_seconds",
    MetricType.HISTOGRAM,
    "How long runs of a collector took.",
    ("collector",),
    "seconds",
)
LAST_SUCCESS = _gauge(
    "last_success_timestamp_seconds",
    "When a collector last succeeded, in seconds since 1970.",
    ("collector",),
    "seconds",
)
API_REQUESTS = _counter(
    "api_requests_total",
    "Requests to Coder by endpoint and HTTP status or reason of failure.",
    ("endpoint", "code"),
)
API_REQUEST_DURATION = _family(
    "api_request_duration_seconds",
    MetricType.HISTOGRAM,
    "How long requests to Coder took.",
    ("endpoint",),
    "seconds",
)
API_RETRIES = _counter(
    "api_retries_total", "Requests to Coder that were tried once more.", ("endpoint", "reason")
)
RATE_LIMIT_WAIT = _counter(
    "rate_limit_wait_seconds_total", "Time spent waiting for Coder's rate limit.", unit="seconds"
)
ROWS_DROPPED = _counter(
    "rows_dropped_total", "Parts of Coder's answers that could not be used.", ("endpoint",)
)
PERMISSION = _gauge("permission", "1 if the token may do this, 0 if it may not.", ("resource", "action"))
TOKEN_EXPIRY = _gauge(
    "token_expiry_timestamp_seconds",
    "When the session token expires, in seconds since 1970; absent where unknown.",
    unit="seconds",
)
SERIES = _family("series", MetricType.GAUGE, "Series served of a family.", ("family",), additive=True)
SERIES_FOLDED = _family(
    "series_folded",
    MetricType.GAUGE,
    "Series of a family that its limit folded or dropped.",
    ("family",),
    additive=True,
)
COUNTER_CORRECTIONS = _counter(
    "corrections_total", "Totals that fell in Coder and were held, so that counters do not fall."
)
EXPOSITION_BYTES = _gauge(
    "exposition_bytes", "Size of the last rendered page by format, uncompressed.", ("format",), "bytes"
)
SCRAPES = _counter("scrapes_total", "Answered scrapes by HTTP status.", ("code",))
SCRAPE_DURATION = _family(
    "scrape_duration_seconds", MetricType.HISTOGRAM, "How long answering scrapes took.", (), "seconds"
)
CONFIG_LAST_RELOAD_SUCCESSFUL = _gauge(
    "config_last_reload_successful",
    "1 if the configuration was last read without a fault, 0 if the last good one stays.",
)
CONFIG_LAST_RELOAD_TIMESTAMP = _gauge(
    "config_last_reload_success_timestamp_seconds",
    "When the configuration was last read without a fault, in seconds since 1970.",
    unit="seconds",
)
AGENT_STATS_ROWS = _counter(
    "agent_stats_rows_total",
    "Agent reports read, by what became of them.",
    ("result",),
    required_setting="agent_stats.source",
)
AGENT_STATS_LAG = _gauge(
    "agent_stats_lag_seconds",
    "Age of the newest agent report that was read.",
    unit="seconds",
    required_setting="agent_stats.source",
)
OTLP_EXPORTS = _counter(
    "otlp_exports_total",
    "Pushes to the OpenTelemetry collector by result: ok, partial, failed, or skipped for a newer one.",
    ("result",),
    required_setting="otlp.enabled",
)

FAMILIES: Final = (
    BUILD_INFO,
    POLLS,
    POLL_INTERVAL,
    POLL_DURATION,
    COLLECTOR_SUCCESS,
    COLLECTOR_ERRORS,
    COLLECTOR_DURATION,
    LAST_SUCCESS,
    API_REQUESTS,
    API_REQUEST_DURATION,
    API_RETRIES,
    RATE_LIMIT_WAIT,
    ROWS_DROPPED,
    PERMISSION,
    TOKEN_EXPIRY,
    SERIES,
    SERIES_FOLDED,
    COUNTER_CORRECTIONS,
    EXPOSITION_BYTES,
    SCRAPES,
    SCRAPE_DURATION,
    CONFIG_LAST_RELOAD_SUCCESSFUL,
    CONFIG_LAST_RELOAD_TIMESTAMP,
    AGENT_STATS_ROWS,
    AGENT_STATS_LAG,
    OTLP_EXPORTS,
)
"""All families of this room, in the order in which they are served."""
