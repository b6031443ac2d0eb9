"""Sends one push, request after request, with OpenTelemetry's own exporter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import Resource

from insights_exporter.config.settings import OtlpProtocol, OtlpSettings
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder.text import FamilySamples
from insights_exporter.otlp.batching import split_batches
from insights_exporter.otlp.endpoint import Endpoint, resolve_headers
from insights_exporter.otlp.points import Timestamps, metric_streams
from insights_exporter.otlp.receiver_status import ReceiverStatus
from insights_exporter.secrets import MASK

__all__ = ["ExportBatch", "ExportResult", "Sender", "run_in_daemon_thread"]

T = TypeVar("T")

_MIN_SECRET_LENGTH: Final = 4
"""Texts shorter than this are no secrets, and hiding them would hide everything."""


@dataclass(frozen=True, slots=True)
class ExportBatch:
    """What one push carries; every point of it is of the same moment."""

    families: Sequence[FamilySamples]
    timestamps: Timestamps
    resource: Resource


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What became of a push: ``ok``, ``partial`` or ``failed``, and what the receiver said."""

    result: str
    status: ReceiverStatus


class Sender:
    """Holds the connection to a receiver; headers and certificates are read anew at each push.

    Raises ConfigError where an exporter, a header or a certificate is missing.
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
        """Send everything, and wait for it; for a thread of its own. Raises ConfigError.

        A request that the receiver refuses for what is in it does not keep back the others. Any other
        failure does: what is left would fare the same.
        """
        exporter, status = self._refresh_exporter(), self._status
        status.rejected_points, status.message = 0, ""
        accepted = invalid = 0
        point_streams = (
            stream for samples in batch.families for stream in metric_streams(samples, batch.timestamps)
        )
        for request in split_batches(point_streams, batch.resource):
            if self._cancelled.is_set():
                return ExportResult("failed", status)
            status.record_failure("no answer")
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
        """Let a push that is under way end soon."""
        self._cancelled.set()

    def close(self) -> None:
        """Close the connection."""
        self._cancelled.set()
        self._current_exporter.shutdown()

    def mask_secrets(self, text: str) -> str:
        """Return a text without the values of headers, which a receiver may repeat."""
        for value in sorted(self._headers.values(), key=len, reverse=True):
            text = text.replace(value, MASK) if len(value) >= _MIN_SECRET_LENGTH else text
        return text

    def _refresh_exporter(self) -> MetricExporter:
        """Return the exporter, a new one where a header or a file has changed."""
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
    """Return what some work gives that waits for others; done by a thread that never holds up the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def set_future(set_value: Callable[[], None]) -> None:
        # Nobody may be left to hear of it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else set_value())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            exception = error
            set_future(lambda: future.set_exception(exception))
        else:
            set_future(lambda: future.set_result(result))

    threading.Thread(target=run, name="otlp", daemon=True).start()
    return await future


def _create_exporter(
    endpoint: Endpoint, headers: Mapping[str, str], status: ReceiverStatus
) -> MetricExporter:
    """Return OpenTelemetry's exporter for a protocol; raise ConfigError where it is not installed."""
    try:
        if endpoint.protocol is OtlpProtocol.GRPC:
            from insights_exporter.otlp.exporter_grpc import create_grpc_exporter

            return create_grpc_exporter(endpoint, headers, status)
        from insights_exporter.otlp.exporter_http import create_http_exporter
    except ImportError:
        extra = "otlp-grpc" if endpoint.protocol is OtlpProtocol.GRPC else "otlp"
        raise ConfigError(
            f"otlp.protocol: found {endpoint.protocol}, but its exporter is not installed. "
            f"Run: pip install 'insights-exporter[{extra}]'."
        ) from None
    return create_http_exporter(endpoint, headers, status)


def _file_fingerprint(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise ConfigError(f"Cannot read the file {file}: {error.strerror}.") from None
    return status.st_mtime_ns, status.st_ino
