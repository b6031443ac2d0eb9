"""What the exporter tells of itself, measured with OpenTelemetry and read through its Prometheus exporter."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from opentelemetry.sdk.metrics.export import MetricReader
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from insights_exporter import __version__
from insights_exporter.errors import BadResponse, RateLimited, ServerError, Unreachable, reasons
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.instruments import Instruments
from insights_exporter.metrics.text import END, Format, Samples, render

__all__ = ["SelfMetrics"]

_RESULTS: Final = ("ok", "partial", "failed")
_LIVE: Final = (catalogue.SCRAPES, catalogue.SCRAPE_DURATION)
"""What changes with each scrape; all else changes with polls."""

_FAULTS: Final = tuple(sorted(reasons() | {"internal"}))
_PASSING: Final = tuple(
    sorted(reasons(Unreachable) | {one.reason for one in (BadResponse, RateLimited, ServerError)})
)
"""Why a request may be tried once more."""


class SelfMetrics:
    """Receives telemetry and serves it; ``readers`` may push the same signals elsewhere.

    What a scrape changes is kept apart once more, so that the rest is collected anew only after something
    happened. ``process`` adds the ``process_`` metrics that every Prometheus client has.
    """

    def __init__(
        self, *, poll_interval: float, readers: Sequence[MetricReader] = (), process: bool = True
    ) -> None:
        self._all = Instruments(catalogue.EXPORTER_FAMILIES, readers)
        self._live = Instruments(_LIVE)
        self._process = CollectorRegistry()
        if process:
            ProcessCollector(registry=self._process)
        self._mark = object()
        self._texts: dict[Format, tuple[object, bytes]] = {}
        self._begun: set[str] = set()
        self._begin(poll_interval)

    def text(self, form: Format) -> bytes:
        """Return all own metrics as they stand now, without the end mark of OpenMetrics."""
        live = render(self._live.samples(), form)
        if form is Format.TEXT:
            return b"".join((self._steady(form), live, generate_text(self._process)))
        process: bytes = generate_openmetrics(self._process)  # type: ignore[no-untyped-call]  # Ships no types.
        return b"".join((self._steady(form), live.removesuffix(END), process.removesuffix(END)))

    def samples(self) -> list[Samples]:
        """Return all own metrics as they stand now; one caller at a time, on the thread that serves pages."""
        return self._all.samples()

    def shutdown(self) -> None:
        """Push what is left and stop."""
        self._all.shutdown()
        self._live.shutdown()

    def _steady(self, form: Format) -> bytes:
        """Return what scrapes do not change."""
        # Whoever changes something later leaves another mark, so nothing is ever shown that is out of date.
        mark = self._mark
        known, text = self._texts.get(form, (None, b""))
        if known is not mark:
            samples = [samples for samples in self._all.samples() if samples.family not in _LIVE]
            text = bytes(render(samples, form).removesuffix(END))
            self._texts[form] = mark, text
        return text

    def _begin(self, poll_interval: float) -> None:
        """Serve what is known beforehand, and counters from 0 on, so that their first step is seen."""
        self._set(catalogue.BUILD_INFO, 1, __version__, platform.python_version())
        self._set(catalogue.POLL_INTERVAL, poll_interval)
        for result in _RESULTS:
            self._add(catalogue.POLLS, 0, result)
        self._add(catalogue.RATE_LIMIT_WAIT, 0)
        self._add(catalogue.COUNTER_CORRECTIONS, 0)
        for instruments in (self._all, self._live):
            instruments.add(catalogue.SCRAPES, 0, "200")

    def _begin_endpoint(self, endpoint: str) -> None:
        """Serve what may happen to an endpoint as 0, or the first fault would be no increase."""
        if endpoint not in self._begun:
            self._begun.add(endpoint)
            self._add(catalogue.ROWS_DROPPED, 0, endpoint)
            for reason in _PASSING:
                self._add(catalogue.API_RETRIES, 0, endpoint, reason)

    def _begin_collector(self, collector: str) -> None:
        """Serve what may happen to a collector as 0, for the same reason."""
        if collector not in self._begun:
            self._begun.add(collector)
            for reason in _FAULTS:
                self._add(catalogue.COLLECTOR_ERRORS, 0, collector, reason)

    def _add(self, family: Family, amount: float, *labels: str) -> None:
        self._all.add(family, amount, *labels)
        self._mark = object()

    def _set(self, family: Family, value: float, *labels: str) -> None:
        self._all.set(family, value, *labels)
        self._mark = object()

    def _record(self, family: Family, seconds: float, *labels: str) -> None:
        self._all.record(family, seconds, *labels)
        self._mark = object()

    def _replace(self, family: Family, values: Mapping[tuple[str, ...], float]) -> None:
        self._all.replace(family, values)
        self._mark = object()

    # Telemetry -------------------------------------------------------------------------------------------

    def configured(self, *, poll_interval: float) -> None:
        """Note what the configuration says now."""
        self._set(catalogue.POLL_INTERVAL, poll_interval)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to Coder."""
        self._begin_endpoint(endpoint)
        self._add(catalogue.API_REQUESTS, 1, endpoint, code)
        self._record(catalogue.API_REQUEST_DURATION, seconds, endpoint)

    def retried(self, endpoint: str, reason: str) -> None:
        """Count a request that is tried once more."""
        self._add(catalogue.API_RETRIES, 1, endpoint, reason)

    def rate_limit_waited(self, seconds: float) -> None:
        """Add up waiting for Coder's rate limit."""
        self._add(catalogue.RATE_LIMIT_WAIT, max(0.0, seconds))

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:  # noqa: ARG002 - logs show the example.
        """Count parts of answers that could not be used."""
        self._add(catalogue.ROWS_DROPPED, count, endpoint)

    def version_seen(self, version: str) -> None:
        """Ignore the server's version, which a Coder family tells."""

    def poll_finished(self, result: str, seconds: float) -> None:
        """Count a poll."""
        self._add(catalogue.POLLS, 1, result)
        self._set(catalogue.POLL_DURATION, seconds)

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Note a collector's run."""
        self._begin_collector(collector)
        self._set(catalogue.COLLECTOR_SUCCESS, success, collector)
        self._record(catalogue.COLLECTOR_DURATION, seconds, collector)
        if success:
            self._set(catalogue.LAST_SUCCESS, at.timestamp(), collector)

    def collector_error(self, collector: str, reason: str) -> None:
        """Count a fault of a collector."""
        self._add(catalogue.COLLECTOR_ERRORS, 1, collector, reason)

    def permission(self, resource: str, action: str, *, granted: bool) -> None:
        """Note what the token may do."""
        self._set(catalogue.PERMISSION, granted, resource, action)

    def token_expiry(self, at: datetime | None) -> None:
        """Note when the token expires."""
        self._replace(catalogue.TOKEN_EXPIRY, {} if at is None else {(): at.timestamp()})

    def counters_corrected(self, count: int) -> None:
        """Count totals that were held."""
        self._add(catalogue.COUNTER_CORRECTIONS, count)

    def rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Note the page that is served from now on, in place of the one before."""
        for family, counts in (
            (catalogue.SERIES, series),
            (catalogue.SERIES_FOLDED, folded),
            (catalogue.EXPOSITION_BYTES, sizes),
        ):
            self._replace(family, {(name,): count for name, count in counts.items()})

    def scraped(self, code: int, seconds: float) -> None:
        """Count a scrape."""
        for instruments in (self._all, self._live):
            instruments.add(catalogue.SCRAPES, 1, str(code))
            instruments.record(catalogue.SCRAPE_DURATION, seconds)

    def reloaded(self, *, success: bool, at: datetime) -> None:
        """Note that the configuration was read, or could not be."""
        self._set(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL, success)
        if success:
            self._set(catalogue.CONFIG_LAST_RELOAD_TIMESTAMP, at.timestamp())

    def agent_rows(self, result: str, count: int) -> None:
        """Count agent reports."""
        self._add(catalogue.AGENT_STATS_ROWS, count, result)

    def agent_lag(self, seconds: float) -> None:
        """Note the age of the newest agent report."""
        self._set(catalogue.AGENT_STATS_LAG, seconds)

    def exported(self, result: str, count: int = 1) -> None:
        """Count a push."""
        self._add(catalogue.OTLP_EXPORTS, count, result)
