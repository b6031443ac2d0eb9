"""Pushes by gRPC; only those who installed the extra ``otlp-grpc`` can import this."""

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
from insights_exporter.otlp.receiver_status import ReceiverStatus

__all__ = ["create_grpc_exporter"]

_COMPRESSIONS: Final = {"none": Compression.NoCompression, "gzip": Compression.Gzip}
_INVALID_REQUEST_CODES: Final = frozenset((StatusCode.INVALID_ARGUMENT,))


def create_grpc_exporter(
    endpoint: Endpoint, headers: Mapping[str, str], status: ReceiverStatus
) -> MetricExporter:
    """Return an exporter that notes what the receiver answers."""
    return _RecordingExporter(
        status,
        endpoint=endpoint.address,
        insecure=not endpoint.encrypted,
        credentials=_channel_credentials(endpoint) if endpoint.encrypted else None,
        # An empty one would let the exporter look for headers itself.
        headers=tuple(headers.items()),
        timeout=endpoint.timeout,
        compression=_COMPRESSIONS[endpoint.compression],
    )


class _RecordingExporter(OTLPMetricExporter):
    """Lets somebody listen to the answers, of which the exporter looks at the status alone."""

    def __init__(self, status: ReceiverStatus, **options: Any) -> None:
        self._status = status
        super().__init__(**options)

    def _initialize_channel_and_stub(self) -> None:
        # There is no public place to listen at.
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # As above.
        self._client: Any = _RecordingClient(self._client, self._status)


class _RecordingClient:
    """A client that notes what the receiver answers."""

    def __init__(self, client: Any, status: ReceiverStatus) -> None:
        self._client = client
        self._status = status

    def Export(self, **arguments: Any) -> Any:
        """Send a request, and note what comes of it."""
        try:
            response = self._client.Export(**arguments)
        except RpcError as error:
            code = error.code()
            self._status.record_failure(code.name, request_invalid=code in _INVALID_REQUEST_CODES)
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
