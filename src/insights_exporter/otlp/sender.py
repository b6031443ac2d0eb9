"""Send one push in batches with OpenTelemetry's own exporter, and classify the receiver's answers."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from opentelemetry.sdk.metrics.export import (
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from insights_exporter.config.settings import OtlpProtocol, OtlpSettings
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.otlp.endpoint import Endpoint, resolve_headers
from insights_exporter.otlp.points import MetricStream, Point, Timestamps, metric_streams
from insights_exporter.secrets import mask_secrets

__all__ = [
    "MAX_REQUEST_BYTES",
    "ExportBatch",
    "ExportResult",
    "FailureReason",
    "ReceiverStatus",
    "Sender",
    "clean_message",
    "run_in_daemon_thread",
    "split_batches",
]

MAX_REQUEST_BYTES: Final = 2 * 2**20
"""Approximate size of a request before compression; gRPC receivers accept 4 MiB by default."""

_SCOPE: Final = InstrumentationScope("insights_exporter")
"""Without a version: some receivers make it a label, and each release would start new series."""

_BYTES_PER_METRIC: Final = 64
_BYTES_PER_ATTRIBUTE: Final = 12


def split_batches(
    streams: Iterable[MetricStream], resource: Resource, *, max_bytes: int = MAX_REQUEST_BYTES
) -> Iterator[MetricsData]:
    """Yield requests with all points; a stream may continue in the next request."""
    metrics: list[Metric] = []
    size = 0
    for stream in streams:
        points: list[Point] = []
        size += _BYTES_PER_METRIC + len(stream.name) + len(stream.help)
        for point in stream.points:
            point_size = stream.bytes_per_point + _attributes_size(point.attributes or {})
            if size + point_size > max_bytes and (metrics or points):
                if points:
                    metrics.append(stream.metric(points))
                yield _metrics_data(metrics, resource)
                metrics, points, size = [], [], 0
            points.append(point)
            size += point_size
        if points:
            metrics.append(stream.metric(points))
    if metrics:
        yield _metrics_data(metrics, resource)


def _metrics_data(metrics: list[Metric], resource: Resource) -> MetricsData:
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(_SCOPE, metrics, "")], "")])


def _attributes_size(attributes: Mapping[str, Any]) -> int:
    """Return the approximate encoded size of attributes in bytes."""
    return sum(
        _BYTES_PER_ATTRIBUTE + len(name) + (len(value) if value.isascii() else len(value.encode()))
        for name, value in attributes.items()
    )


_MAX_MESSAGE_LENGTH: Final = 200
_SPACE_OR_CONTROL: Final = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2066-\u2069]+"
)
"""White space, control characters, lone surrogates, and characters that change the text direction."""


class FailureReason(StrEnum):
    """Class of a failure: the value of the label ``reason``."""

    UNAVAILABLE = "unavailable"
    """No connection, no response in time, or a response of a gateway (HTTP 5xx)."""
    TLS = "tls"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    """Wrong path, or a server that is no OTLP receiver."""
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    """The receiver read the request and rejected its points."""
    REDIRECT = "redirect"
    CONFIG = "config"
    """A header or certificate file is missing or invalid."""
    STOPPED = "stopped"
    """The exporter stopped during the push."""
    INTERNAL = "internal"
    OTHER = "other"


@dataclass(slots=True)
class ReceiverStatus:
    """State of one push.

    ``error`` describes why the last request failed: an exception's name or a status code. ``reason`` is its
    class. ``request_invalid`` is true if the receiver rejected this request for its content: the next request
    may succeed. ``rejected_points`` are points that the receiver dropped from accepted requests. ``message``
    is the receiver's own text, raw. ``retry_after`` is the pause in seconds that the receiver requests.
    """

    reason: FailureReason = FailureReason.UNAVAILABLE
    error: str = ""
    message: str = ""
    request_invalid: bool = False
    rejected_points: int = 0
    retry_after: float = 0.0

    def reset(self) -> None:
        """Start a push."""
        self.rejected_points, self.message, self.error = 0, "", ""

    def record_failure(
        self,
        reason: FailureReason,
        error: str,
        *,
        message: str = "",
        request_invalid: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        """Record a failed request or attempt."""
        self.reason, self.error, self.message = reason, error, message
        self.request_invalid, self.retry_after = request_invalid, retry_after

    def record_success(self, *, rejected_points: int, message: str) -> None:
        """Record an accepted request, maybe without some of its points."""
        self.request_invalid, self.retry_after = False, 0.0
        if rejected_points:
            self.rejected_points += rejected_points
            self.reason, self.error, self.message = FailureReason.REJECTED, "", message


def clean_message(text: str) -> str:
    """Return a receiver's text as one printable line of at most 200 characters."""
    return _SPACE_OR_CONTROL.sub(" ", text).strip()[:_MAX_MESSAGE_LENGTH]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExportBatch:
    """The data of one push; all points have the same timestamp."""

    families: Sequence[FamilySamples]
    timestamps: Timestamps
    resource: Resource


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Result of a push (``ok``, ``partial`` or ``failed``) and the receiver's last response."""

    result: str
    status: ReceiverStatus


class Sender:
    """Holds the connection to a receiver; headers and certificates are reloaded at each push.

    Raises ConfigError if the exporter's package, a header or a certificate is missing.
    """

    def __init__(self, endpoint: Endpoint, settings: OtlpSettings, environ: Mapping[str, str]) -> None:
        self.endpoint = endpoint
        self._settings = settings
        self._environ = environ
        self._status = ReceiverStatus()
        self._cancelled = threading.Event()
        self._headers: dict[str, str] = {}
        self._exporter_key: object = None
        self._current_exporter = self._refresh_exporter()

    def send(self, batch: ExportBatch) -> ExportResult:
        """Send all requests of a push and block until the end; raise ConfigError. Call it in a thread.

        The push goes on after a request that the receiver rejects for its content. Any other failure ends the
        push: the remaining requests would fail for the same reason.
        """
        exporter, status = self._refresh_exporter(), self._status
        status.reset()
        accepted = invalid = 0
        point_streams = (
            stream for samples in batch.families for stream in metric_streams(samples, batch.timestamps)
        )
        for request in split_batches(point_streams, batch.resource):
            if self._cancelled.is_set():
                return ExportResult("failed", status)
            status.record_failure(FailureReason.UNAVAILABLE, "no response")
            if exporter.export(request) is MetricExportResult.SUCCESS:
                accepted += 1
            elif status.request_invalid:
                invalid += 1
            else:
                return ExportResult("failed", status)
        if invalid and not accepted:
            return ExportResult("failed", status)
        return ExportResult("partial" if invalid or status.rejected_points else "ok", status)

    def cancel(self) -> None:
        """End the current push after its current request."""
        self._cancelled.set()

    def close(self) -> None:
        """Close the connection."""
        self._cancelled.set()
        self._current_exporter.shutdown()

    def mask_secrets(self, text: str) -> str:
        """Return a text with header values masked: a receiver may quote them."""
        # "Bearer x" is also masked as "x": servers quote the token without its scheme.
        secrets = {part for value in self._headers.values() for part in (value, value.rpartition(" ")[2])}
        return mask_secrets(text, secrets)

    def _refresh_exporter(self) -> MetricExporter:
        """Return the exporter, a new one if a header or a file has changed."""
        headers = resolve_headers(self._settings, self._environ)
        exporter_key = (headers, [_file_fingerprint(Path(file)) for file in self.endpoint.files])
        if self._exporter_key != exporter_key:
            previous = None if self._exporter_key is None else self._current_exporter
            self._current_exporter = _create_exporter(self.endpoint, headers, self._status)
            self._headers, self._exporter_key = headers, exporter_key
            if previous is not None:
                previous.shutdown()
        return self._current_exporter


async def run_in_daemon_thread(work: Callable[[], T]) -> T:
    """Return the result of blocking work from a daemon thread, which does not delay the process exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def set_future(set_value: Callable[[], None]) -> None:
        # The event loop may be closed already.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else set_value())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - passed on to the caller.
            exception = error
            set_future(lambda: future.set_exception(exception))
        else:
            set_future(lambda: future.set_result(result))

    threading.Thread(target=run, name="otlp", daemon=True).start()
    return await future


def _create_exporter(
    endpoint: Endpoint, headers: Mapping[str, str], status: ReceiverStatus
) -> MetricExporter:
    """Return OpenTelemetry's exporter for a protocol; raise ConfigError if it is not installed."""
    try:
        if endpoint.protocol is OtlpProtocol.GRPC:
            from insights_exporter.otlp.exporter_grpc import create_grpc_exporter  # noqa: PLC0415 - optional.

            return create_grpc_exporter(endpoint, headers, status)
        from insights_exporter.otlp.exporter_http import create_http_exporter  # noqa: PLC0415 - optional.
    except ImportError:
        extra = "otlp-grpc" if endpoint.protocol is OtlpProtocol.GRPC else "otlp"
        raise ConfigError(
            f"otlp.protocol: the exporter for {endpoint.protocol} is not installed; "
            f"run pip install 'insights-exporter[{extra}]'"
        ) from None
    return create_http_exporter(endpoint, headers, status)


def _file_fingerprint(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise ConfigError(f"cannot read the file {file}: {error.strerror}") from None
    return status.st_mtime_ns, status.st_ino
