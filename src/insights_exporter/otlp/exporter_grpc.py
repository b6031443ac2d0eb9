"""OTLP over gRPC; importable with the extra ``otlp-grpc``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from grpc import (  # type: ignore[import-untyped]  # Ships no types.
    ChannelCredentials,
    Compression,
    RpcError,
    StatusCode,
    ssl_channel_credentials,
)
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExporter

from insights_exporter.otlp.endpoint import Endpoint
from insights_exporter.otlp.sender import FailureReason, ReceiverStatus

__all__ = ["create_grpc_exporter"]

_COMPRESSIONS: Final = {"none": Compression.NoCompression, "gzip": Compression.Gzip}
_INVALID_REQUEST_CODES: Final = frozenset((StatusCode.INVALID_ARGUMENT,))

_REASONS: Final = {
    StatusCode.UNAVAILABLE: FailureReason.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: FailureReason.UNAVAILABLE,
    StatusCode.UNAUTHENTICATED: FailureReason.UNAUTHENTICATED,
    StatusCode.PERMISSION_DENIED: FailureReason.FORBIDDEN,
    StatusCode.UNIMPLEMENTED: FailureReason.NOT_FOUND,
    StatusCode.NOT_FOUND: FailureReason.NOT_FOUND,
    StatusCode.RESOURCE_EXHAUSTED: FailureReason.RATE_LIMITED,
    StatusCode.INVALID_ARGUMENT: FailureReason.REJECTED,
}


def create_grpc_exporter(
    endpoint: Endpoint, headers: Mapping[str, str], status: ReceiverStatus
) -> MetricExporter:
    """Return an exporter that records the receiver's responses in ``status``."""
    return _RecordingExporter(
        status,
        endpoint=endpoint.address,
        insecure=not endpoint.encrypted,
        credentials=_channel_credentials(endpoint) if endpoint.encrypted else None,
        # A tuple also if empty: with None the exporter would read the environment itself.
        headers=tuple(headers.items()),
        timeout=endpoint.timeout,
        compression=_COMPRESSIONS[endpoint.compression],
    )


class _RecordingExporter(OTLPMetricExporter):
    """Records responses; OpenTelemetry's exporter keeps only success or failure."""

    def __init__(self, status: ReceiverStatus, **options: Any) -> None:
        self._status = status
        super().__init__(**options)

    def _initialize_channel_and_stub(self) -> None:
        # The library has no public hook.
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # As above.
        self._client: Any = _RecordingClient(self._client, self._status)


class _RecordingClient:
    """Client stub that records responses."""

    def __init__(self, client: Any, status: ReceiverStatus) -> None:
        self._client = client
        self._status = status

    def Export(self, **arguments: Any) -> Any:  # noqa: N802 - the name of the stub.
        """Send a request and record its response."""
        try:
            response = self._client.Export(**arguments)
        except RpcError as error:
            code = error.code()
            self._status.record_failure(
                _REASONS.get(code, FailureReason.OTHER),
                code.name,
                message=error.details() or "",
                request_invalid=code in _INVALID_REQUEST_CODES,
            )
            raise
        partial = response.partial_success
        self._status.record_success(
            rejected_points=partial.rejected_data_points, message=partial.error_message
        )
        return response


def _channel_credentials(endpoint: Endpoint) -> ChannelCredentials:
    ca, key, chain = (
        Path(file).read_bytes() if file else None
        for file in (
            endpoint.ca_certificate,
            endpoint.client_key or endpoint.client_certificate,
            endpoint.client_certificate,
        )
    )
    return ssl_channel_credentials(ca, key, chain)
