"""Sends the requests of one push with OpenTelemetry's own exporter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import Resource

from insights_exporter.config.settings import OtlpProtocol, OtlpSettings
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.otlp.batching import split_batches
from insights_exporter.otlp.endpoint import Endpoint, resolve_headers
from insights_exporter.otlp.points import Timestamps, metric_streams
from insights_exporter.otlp.receiver_status import FailureReason, ReceiverStatus
from insights_exporter.secrets import mask_secrets

__all__ = ["ExportBatch", "ExportResult", "Sender", "run_in_daemon_thread"]

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
