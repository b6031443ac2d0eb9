"""Pushes by HTTP; only those who installed the extra ``otlp`` can import this."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # Ships no types.
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics.export import MetricExporter
from requests import RequestException, Response, Session

from insights_exporter.otlp.endpoint import Endpoint
from insights_exporter.otlp.receiver_status import ReceiverStatus

__all__ = ["create_http_exporter"]

_CHUNK_BYTES: Final = 8192
_MAX_CHUNKS: Final = 8
"""How much of an answer is read; a receiver has little to say."""

_INVALID_REQUEST_STATUSES: Final = frozenset((400, 413, 422))


def create_http_exporter(
    endpoint: Endpoint, headers: Mapping[str, str], status: ReceiverStatus
) -> MetricExporter:
    """Return an exporter that notes what the receiver answers."""
    certificate, key = endpoint.client_certificate or None, endpoint.client_key or None
    return OTLPMetricExporter(
        endpoint=endpoint.address,
        certificate_file=endpoint.ca_certificate or None,
        client_key_file=key,
        client_certificate_file=certificate,
        headers=headers,
        timeout=endpoint.timeout,
        compression=_COMPRESSIONS[endpoint.compression],
        session=_RecordingSession(status),
    )


_COMPRESSIONS: Final = {
    "none": Compression.NoCompression,
    "gzip": Compression.Gzip,
    "deflate": Compression.Deflate,
}


class _RedirectError(Exception):
    """The receiver points elsewhere; the exporter would take that for success."""


class _RecordingSession(Session):
    """Listens to the answers."""

    def __init__(self, status: ReceiverStatus) -> None:
        super().__init__()
        self._status = status

    def request(self, *arguments: Any, **options: Any) -> Response:
        """Send a request, and note what comes of it."""
        try:
            # Unless it is said here, variables of the library win over the certificate of ours.
            options |= {"stream": True, "verify": self.verify}
            response = super().request(*arguments, **options)
            content = _read_body(response)
        except (RequestException, OSError) as error:
            self._status.record_failure(type(error).__name__)
            raise
        if 300 <= response.status_code < 400:
            self._status.record_failure(f"HTTP {response.status_code}, a redirect, which is not followed")
            raise _RedirectError
        if response.ok:
            rejected_points, message = _parse_partial_success(content)
            self._status.record_success(rejected_points=rejected_points, message=message)
        else:
            request_invalid = response.status_code in _INVALID_REQUEST_STATUSES
            retry_after = _parse_retry_after(response.headers.get("Retry-After", ""))
            self._status.record_failure(
                f"HTTP {response.status_code}", request_invalid=request_invalid, retry_after=retry_after
            )
        return response


def _read_body(response: Response) -> bytes:
    """Return the beginning of an answer; the connection is used again only where that was all of it."""
    with response:
        return b"".join(islice(response.iter_content(_CHUNK_BYTES), _MAX_CHUNKS))


def _parse_partial_success(content: bytes) -> tuple[int, str]:
    """Return how many points were left out, and why."""
    try:
        partial_success = ExportMetricsServiceResponse.FromString(content).partial_success
    except DecodeError:
        return 0, ""  # Some answer with a text, although the specification says what to answer.
    return partial_success.rejected_data_points, partial_success.error_message


def _parse_retry_after(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        try:
            retry_time = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        retry_time = retry_time if retry_time.tzinfo is not None else retry_time.replace(tzinfo=UTC)
        seconds = (retry_time - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
