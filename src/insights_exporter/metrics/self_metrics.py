"""What the exporter tells of itself, measured with OpenTelemetry and read through its Prometheus exporter."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
    ObservableGauge,
)
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.samples import Sample

from insights_exporter import __version__
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import PREFIX, Family, Kind
from insights_exporter.metrics.text import END, Distribution, Format, Samples, render

__all__ = ["SelfMetrics", "instrument_name"]

_UNITS: Final = {"seconds": "s", "bytes": "By", "": ""}
# Far above what can occur; beyond it the SDK would add up unlike things.
_POINTS: Final = 10_000
_RESULTS: Final = ("ok", "partial", "failed")

_Values = dict[tuple[str, ...], float]


def instrument_name(family: Family) -> str:
    """Return a name that a translation to Prometheus turns into the family's."""
    stem = family.stem.removesuffix(f"_{family.unit}") if family.unit else family.stem
    return "coder.insights." + stem.removeprefix(PREFIX).replace("exporter_", "exporter.", 1)


class SelfMetrics:
    """Receives telemetry and serves it; ``readers`` may push the same signals elsewhere.

    Has its own provider and registry: nothing here is global. ``process`` adds the ``process_`` metrics
    that every Prometheus client has.
    """

    def __init__(
        self, *, poll_interval: float, readers: Sequence[MetricReader] = (), process: bool = True
    ) -> None:
        self._registry = CollectorRegistry()
        reader = PrometheusMetricReader(
            disable_target_info=True,
            scope_info_enabled=False,
            registry=self._registry,
            cardinality_limits={Counter: _POINTS, Histogram: _POINTS, ObservableGauge: _POINTS},
        )
        buckets = ExplicitBucketHistogramAggregation(catalogue.DURATION_BUCKETS, record_min_max=False)
        self._provider = MeterProvider(
            metric_readers=[reader, *readers],
            resource=Resource.get_empty(),
            views=[View(instrument_type=Histogram, aggregation=buckets)],
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        self._process = CollectorRegistry()
        if process:
            ProcessCollector(registry=self._process)
        self._instrument()
        self._begin(poll_interval)

    def text(self, form: Format) -> bytes:
        """Return all own metrics as they stand now, without the end mark of OpenMetrics."""
        own = render(_samples(self._registry), form).removesuffix(END)
        if form is Format.TEXT:
            return bytes(own + generate_text(self._process))
        process: bytes = generate_openmetrics(self._process)  # type: ignore[no-untyped-call]  # Ships no types.
        return bytes(own + process.removesuffix(END))

    def shutdown(self) -> None:
        """Push what is left and stop."""
        self._provider.shutdown()

    def _instrument(self) -> None:
        meter = self._provider.get_meter("insights_exporter", __version__)
        self._gauges: dict[Family, _Values] = {}
        self._counters, self._histograms = {}, {}
        for family in catalogue.EXPORTER_FAMILIES:
            name, unit = instrument_name(family), _UNITS[family.unit]
            if family.kind is Kind.COUNTER:
                self._counters[family] = meter.create_counter(name, unit, family.help)
            elif family.kind is Kind.HISTOGRAM:
                self._histograms[family] = meter.create_histogram(name, unit, family.help)
            else:
                self._gauges[family] = {}
                meter.create_observable_gauge(name, [self._observer(family)], unit, family.help)

    def _observer(self, family: Family) -> Callable[[CallbackOptions], Iterable[Observation]]:
        # Gauges are observed, as those that are set lose their value once a reader has seen it.
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            values = dict(self._gauges[family])
            return [
                Observation(value, dict(zip(family.labels, labels, strict=True)))
                for labels, value in values.items()
            ]

        return observe

    def _begin(self, poll_interval: float) -> None:
        """Serve what is known beforehand, and counters from 0 on, so that their first step is seen."""
        self._set(catalogue.BUILD_INFO, 1, __version__, platform.python_version())
        self._set(catalogue.POLL_INTERVAL, poll_interval)
        for result in _RESULTS:
            self._add(catalogue.POLLS, 0, result)
        self._add(catalogue.RATE_LIMIT_WAIT, 0)
        self._add(catalogue.COUNTER_CORRECTIONS, 0)
        self._add(catalogue.SCRAPES, 0, "200")

    def _add(self, family: Family, amount: float, *labels: str) -> None:
        self._counters[family].add(amount, dict(zip(family.labels, labels, strict=True)))

    def _set(self, family: Family, value: float, *labels: str) -> None:
        self._gauges[family][labels] = float(value)

    def _record(self, family: Family, seconds: float, *labels: str) -> None:
        self._histograms[family].record(seconds, dict(zip(family.labels, labels, strict=True)))

    # Telemetry -------------------------------------------------------------------------------------------

    def configured(self, *, poll_interval: float) -> None:
        """Note what the configuration says now."""
        self._set(catalogue.POLL_INTERVAL, poll_interval)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to Coder."""
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
        self._gauges[catalogue.TOKEN_EXPIRY] = {} if at is None else {(): at.timestamp()}

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
            self._gauges[family] = {(name,): float(count) for name, count in counts.items()}

    def scraped(self, code: int, seconds: float) -> None:
        """Count a scrape."""
        self._add(catalogue.SCRAPES, 1, str(code))
        self._record(catalogue.SCRAPE_DURATION, seconds)

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

    def exported(self, result: str) -> None:
        """Count a push."""
        self._add(catalogue.OTLP_EXPORTS, 1, result)


def _samples(registry: CollectorRegistry) -> list[Samples]:
    """Return what the SDK's Prometheus exporter holds now, in the catalogue's order.

    Its own renderer would take longer than all the rest of a scrape.
    """
    metrics = {metric.name: metric for metric in registry.collect()}
    return [
        _histogram(family, metrics[family.stem])
        if family.kind is Kind.HISTOGRAM
        else Samples(
            family, [(_labels(family, sample), sample.value) for sample in metrics[family.stem].samples]
        )
        for family in catalogue.EXPORTER_FAMILIES
        if family.stem in metrics
    ]


def _histogram(family: Family, metric: Metric) -> Samples:
    """Return a histogram, whose samples are for each label set its buckets, count and sum."""
    bounds, samples = catalogue.DURATION_BUCKETS, metric.samples
    lines = len(bounds) + 3
    rows: list[Distribution] = []
    for begin in range(0, len(samples), lines):
        *buckets, _, total = samples[begin : begin + lines]
        rows.append((_labels(family, total), tuple([bucket.value for bucket in buckets]), total.value))
    return Samples(family, distributions=rows, bounds=bounds)


def _labels(family: Family, sample: Sample) -> tuple[str, ...]:
    return tuple([sample.labels[label] for label in family.labels])
