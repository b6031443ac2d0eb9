"""Self metrics of the exporter: instrumented with OpenTelemetry, served live at each scrape."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from insights_exporter import __version__
from insights_exporter.config.settings import PollSettings
from insights_exporter.errors import BadResponse, RateLimited, ServerError, Unreachable, all_reasons
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import EOF, FamilySamples, Format, encode
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.instruments import Instruments
from insights_exporter.telemetry import Telemetry

__all__ = ["SelfMetrics"]

_RESULTS: Final = ("ok", "partial", "failed")
_SCRAPE_FAMILIES: Final = (catalogue.SCRAPES, catalogue.SCRAPE_DURATION)
"""Families that change with each scrape; all others change with polls."""

_ERROR_REASONS: Final = tuple(sorted(all_reasons() | {"internal"}))
_RETRYABLE_REASONS: Final = tuple(
    sorted(all_reasons(Unreachable) | {one.reason for one in (BadResponse, RateLimited, ServerError)})
)
"""Reasons for which a request is retried."""


class SelfMetrics(Telemetry):
    """Records telemetry and encodes it for scrapes and OTLP.

    The families that change with each scrape have instruments of their own: the text of all others is cached
    until the next event. ``process`` adds the ``process_*`` metrics of every Prometheus client.
    """

    def __init__(
        self,
        *,
        poll_interval: float,
        max_api_time_ratio: float = PollSettings().max_api_time_ratio,
        process: bool = True,
    ) -> None:
        self._instruments = Instruments(catalogue.EXPORTER_FAMILIES)
        self._scrape_instruments = Instruments(_SCRAPE_FAMILIES)
        self._process_registry = CollectorRegistry()
        if process:
            ProcessCollector(registry=self._process_registry)
        self._revision = object()
        self._encoded_by_format: dict[Format, tuple[object, bytes]] = {}
        self._initialized_labels: set[str] = set()
        self._poll_interval = poll_interval
        self._api_seconds = 0.0
        """Seconds that requests took since the last poll."""
        self._initialize()
        self.config_applied(poll_interval=poll_interval, max_api_time_ratio=max_api_time_ratio)

    def encode(self, exposition_format: Format) -> bytes:
        """Return the text of all self metrics, without ``EOF``."""
        scrape_metrics = (
            block
            for samples in self._scrape_instruments.samples()
            for block in encode(samples, exposition_format)
        )
        if exposition_format is Format.TEXT:
            process_metrics = generate_text(self._process_registry)
        else:
            process_metrics = generate_openmetrics(self._process_registry)  # type: ignore[no-untyped-call]  # Ships no types.
        return b"".join(
            (self._encode_cached(exposition_format), *scrape_metrics, process_metrics.removesuffix(EOF))
        )

    def samples(self) -> list[FamilySamples]:
        """Return the samples of all self metrics; call it from the event loop only."""
        return self._instruments.samples()

    def shutdown(self) -> None:
        """Stop the instruments."""
        self._instruments.shutdown()
        self._scrape_instruments.shutdown()

    def _encode_cached(self, exposition_format: Format) -> bytes:
        """Return the text of the families that scrapes do not change; encode it if there was an event."""
        # Read the revision first: a later event invalidates the text that is encoded now.
        revision = self._revision
        cached_revision, encoded = self._encoded_by_format.get(exposition_format, (None, b""))
        if cached_revision is not revision:
            encoded = b"".join(
                block
                for samples in self._instruments.samples()
                if samples.family not in _SCRAPE_FAMILIES
                for block in encode(samples, exposition_format)
            )
            self._encoded_by_format[exposition_format] = revision, encoded
        return encoded

    def _initialize(self) -> None:
        """Set constants, and start counters at 0 so that rate() sees the first increase."""
        self._set(catalogue.BUILD_INFO, 1, __version__, platform.python_version())
        for result in _RESULTS:
            self._add(catalogue.POLLS, 0, result)
        self._add(catalogue.RATE_LIMIT_WAIT, 0)
        self._add(catalogue.COUNTER_CORRECTIONS, 0)
        for instruments in (self._instruments, self._scrape_instruments):
            instruments.add(catalogue.SCRAPES, 0, "200")

    def _initialize_endpoint(self, endpoint: str) -> None:
        """Start the counters of an endpoint at 0 so that rate() sees the first increase."""
        if endpoint not in self._initialized_labels:
            self._initialized_labels.add(endpoint)
            self._add(catalogue.ROWS_DROPPED, 0, endpoint)
            for reason in _RETRYABLE_REASONS:
                self._add(catalogue.API_RETRIES, 0, endpoint, reason)

    def _initialize_collector(self, collector: str) -> None:
        """Start the error counters of a collector at 0."""
        if collector not in self._initialized_labels:
            self._initialized_labels.add(collector)
            for reason in _ERROR_REASONS:
                self._add(catalogue.COLLECTOR_ERRORS, 0, collector, reason)

    def _add(self, family: Family, amount: float, *labels: str) -> None:
        self._instruments.add(family, amount, *labels)
        self._revision = object()

    def _set(self, family: Family, value: float, *labels: str) -> None:
        self._instruments.set(family, value, *labels)
        self._revision = object()

    def _record(self, family: Family, seconds: float, *labels: str) -> None:
        self._instruments.record(family, seconds, *labels)
        self._revision = object()

    def _replace(self, family: Family, values: Mapping[tuple[str, ...], float]) -> None:
        self._instruments.replace(family, values)
        self._revision = object()

    # Telemetry -------------------------------------------------------------------------------------------

    def config_applied(self, *, poll_interval: float, max_api_time_ratio: float) -> None:
        """Set the poll interval and the limit of Coder's time."""
        self._poll_interval = poll_interval
        self._set(catalogue.POLL_INTERVAL, poll_interval)
        self._set(catalogue.API_TIME_LIMIT, max_api_time_ratio)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to Coder."""
        self._initialize_endpoint(endpoint)
        self._add(catalogue.API_REQUESTS, 1, endpoint, code)
        self._record(catalogue.API_REQUEST_DURATION, seconds, endpoint)
        self._api_seconds += seconds

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Count a retry."""
        self._add(catalogue.API_RETRIES, 1, endpoint, reason)

    def rate_limit_waited(self, seconds: float) -> None:
        """Add seconds spent waiting for Coder's rate limit."""
        self._add(catalogue.RATE_LIMIT_WAIT, max(0.0, seconds))

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:  # noqa: ARG002 - as in the base class.
        """Count invalid rows."""
        self._add(catalogue.ROWS_DROPPED, count, endpoint)

    def poll_finished(self, result: str, seconds: float) -> None:
        """Count a poll, and set the share of the time that Coder spent on its requests."""
        self._add(catalogue.POLLS, 1, result)
        self._set(catalogue.POLL_DURATION, seconds)
        self._set(catalogue.API_TIME_RATIO, self._api_seconds / self._poll_interval)
        self._api_seconds = 0.0

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Record a collector's run."""
        self._initialize_collector(collector)
        self._set(catalogue.COLLECTOR_SUCCESS, success, collector)
        self._record(catalogue.COLLECTOR_DURATION, seconds, collector)
        if success:
            self._set(catalogue.LAST_SUCCESS, at.timestamp(), collector)

    def collector_error(self, collector: str, reason: str) -> None:
        """Count an error of a collector."""
        self._add(catalogue.COLLECTOR_ERRORS, 1, collector, reason)

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Set a permission of the token."""
        self._set(catalogue.PERMISSION, granted, resource, action)

    def token_expiry_updated(self, at: datetime | None) -> None:
        """Set the time at which the token expires; None if unknown."""
        self._replace(catalogue.TOKEN_EXPIRY, {} if at is None else {(): at.timestamp()})

    def counters_corrected(self, count: int) -> None:
        """Count counters held at their last value."""
        self._add(catalogue.COUNTER_CORRECTIONS, count)

    def exposition_rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Set series and sizes of the rendered exposition."""
        for family, counts in (
            (catalogue.SERIES, series),
            (catalogue.SERIES_FOLDED, folded),
            (catalogue.EXPOSITION_BYTES, sizes),
        ):
            self._replace(family, {(name,): count for name, count in counts.items()})

    def small_groups_withheld(self, counts: Mapping[str, int]) -> None:
        """Set the number of withheld items."""
        self._replace(catalogue.ITEMS_WITHHELD, {(kind,): count for kind, count in counts.items()})

    def scrape_finished(self, code: int, seconds: float) -> None:
        """Count a scrape."""
        for instruments in (self._instruments, self._scrape_instruments):
            instruments.add(catalogue.SCRAPES, 1, str(code))
            instruments.record(catalogue.SCRAPE_DURATION, seconds)

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Record a configuration reload."""
        self._set(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, success)
        if success:
            self._set(catalogue.CONFIG_LAST_RELOAD_TIMESTAMP, at.timestamp())

    def agent_rows_processed(self, result: str, count: int) -> None:
        """Count agent reports."""
        self._add(catalogue.AGENT_STATS_ROWS, count, result)

    def agent_lag_updated(self, seconds: float) -> None:
        """Set the age of the newest agent report in seconds."""
        self._set(catalogue.AGENT_STATS_LAG, seconds)

    def export_finished(self, result: str, count: int = 1) -> None:
        """Count OTLP pushes."""
        self._add(catalogue.OTLP_EXPORTS, count, result)

    def export_error(self, reason: str, count: int = 1) -> None:
        """Count failed or partially rejected OTLP pushes."""
        self._add(catalogue.OTLP_EXPORT_ERRORS, count, reason)
