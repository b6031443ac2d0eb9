"""OTLP over HTTP; importable with the extra ``otlp``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # Ships no types.
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Ships no types.
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics.export import MetricExporter
from requests import RequestException, Response, Session
from requests.exceptions import SSLError

from insights_exporter.http_headers import parse_retry_after
from insights_exporter.otlp.endpoint import Endpoint
from insights_exporter.otlp.sender import FailureReason, ReceiverStatus

__all__ = ["create_http_exporter"]

_CHUNK_BYTES: Final = 8192
_MAX_CHUNKS: Final = 8
"""Chunks of a response that are read; OTLP responses are short."""

_INVALID_REQUEST_STATUSES: Final = frozenset((400, 413, 422))

_REASONS: Final = {
    400: FailureReason.REJECTED,
    401: FailureReason.UNAUTHENTICATED,
    403: FailureReason.FORBIDDEN,
    404: FailureReason.NOT_FOUND,
    405: FailureReason.NOT_FOUND,
    408: FailureReason.UNAVAILABLE,
    413: FailureReason.TOO_LARGE,
    422: FailureReason.REJECTED,
    429: FailureReason.RATE_LIMITED,
}


def create_http_exporter(
    endpoint: Endpoint, headers: Mapping[str, str], status: ReceiverStatus
) -> MetricExporter:
    """Return an exporter that records the receiver's responses in ``status``."""
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
    """A redirect, which OpenTelemetry's exporter would take for success."""


class _RecordingSession(Session):
    """Records responses."""

    def __init__(self, status: ReceiverStatus) -> None:
        super().__init__()
        self._status = status

    def request(self, *arguments: Any, **options: Any) -> Response:
        """Send a request and record its response."""
        try:
            # Without ``verify`` here, REQUESTS_CA_BUNDLE would override the configured certificate.
            options |= {"stream": True, "verify": self.verify}
            response = super().request(*arguments, **options)
            content = _read_body(response)
        except (RequestException, OSError) as error:
            reason = FailureReason.TLS if isinstance(error, SSLError) else FailureReason.UNAVAILABLE
            self._status.record_failure(reason, type(error).__name__)
            raise
        if 300 <= response.status_code < 400:
            self._status.record_failure(
                FailureReason.REDIRECT, f"HTTP {response.status_code}, redirects are not followed"
            )
            raise _RedirectError
        if response.ok:
            rejected_points, message = _parse_partial_success(content)
            self._status.record_success(rejected_points=rejected_points, message=message)
        else:
            self._record_error(response, content)
        return response

    def _record_error(self, response: Response, content: bytes) -> None:
        status = response.status_code
        default = FailureReason.UNAVAILABLE if status >= 500 else FailureReason.OTHER
        retry_after = parse_retry_after(response.headers.get("Retry-After", ""), now=datetime.now(UTC))
        self._status.record_failure(
            _REASONS.get(status, default),
            f"HTTP {status}",
            message=_error_message(response.headers.get("Content-Type", ""), content),
            request_invalid=status in _INVALID_REQUEST_STATUSES,
            retry_after=retry_after or 0.0,
        )


def _read_body(response: Response) -> bytes:
    """Return the first 64 KiB of a response; a longer one closes the connection."""
    with response:
        return b"".join(islice(response.iter_content(_CHUNK_BYTES), _MAX_CHUNKS))


def _parse_partial_success(content: bytes) -> tuple[int, str]:
    """Return the number of rejected points and the receiver's message."""
    try:
        partial_success = ExportMetricsServiceResponse.FromString(content).partial_success
    except DecodeError:
        return 0, ""  # Some receivers answer with text, against the specification.
    return partial_success.rejected_data_points, partial_success.error_message


def _error_message(content_type: str, content: bytes) -> str:
    """Return the receiver's message: a protobuf ``Status`` by the specification, text from many receivers.

    HTML is the error page of a proxy and has no more information than the status code.
    """
    if "html" in content_type:
        return ""
    if "protobuf" in content_type:
        try:
            message: str = Status.FromString(content).message
        except DecodeError:
            return ""
        return message
    return content.decode(errors="replace")
