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

from insights_exporter.metrics.otlp.answers import Answers
from insights_exporter.metrics.otlp.target import Target

__all__ = ["grpc_exporter"]

_COMPRESSIONS: Final = {"none": Compression.NoCompression, "gzip": Compression.Gzip}
_OF_THIS_REQUEST: Final = frozenset((StatusCode.INVALID_ARGUMENT,))


def grpc_exporter(target: Target, headers: Mapping[str, str], answers: Answers) -> MetricExporter:
    """Return an exporter that notes what the receiver answers."""
    return _Exporter(
        answers,
        endpoint=target.endpoint,
        insecure=not target.encrypted,
        credentials=_credentials(target) if target.encrypted else None,
        # An empty one would let the exporter look for headers itself.
        headers=tuple(headers.items()),
        timeout=target.timeout,
        compression=_COMPRESSIONS[target.compression],
    )


class _Exporter(OTLPMetricExporter):
    """Lets somebody listen to the answers, of which the exporter looks at the status alone."""

    def __init__(self, answers: Answers, **options: Any) -> None:
        self._answers = answers
        super().__init__(**options)

    def _initialize_channel_and_stub(self) -> None:
        # There is no public place to listen at.
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # As above.
        self._client: Any = _Listening(self._client, self._answers)


class _Listening:
    """A client that notes what the receiver answers."""

    def __init__(self, client: Any, answers: Answers) -> None:
        self._client = client
        self._answers = answers

    def Export(self, **call: Any) -> Any:  # noqa: N802 - the service names it.
        """Send a request, and note what comes of it."""
        try:
            answer = self._client.Export(**call)
        except RpcError as error:
            code = error.code()
            self._answers.failed(code.name, refused=code in _OF_THIS_REQUEST)
            raise
        partial = answer.partial_success
        self._answers.succeeded(rejected=partial.rejected_data_points, told=partial.error_message)
        return answer


def _credentials(target: Target) -> ChannelCredentials:
    ca, key, chain = (
        Path(file).read_bytes() if file else None
        for file in (
            target.certificate,
            target.client_key or target.client_certificate,
            target.client_certificate,
        )
    )
    return ssl_channel_credentials(ca, key, chain)
