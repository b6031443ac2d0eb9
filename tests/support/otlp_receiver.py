"""OTLP receivers for HTTP and gRPC, and the standard translation to Prometheus."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import grpc  # type: ignore[import-untyped]  # Ships no types.
from aiohttp import web
from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_attribute, sanitize_full_name
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from prometheus_client.utils import floatToGoString

__all__ = [
    "GrpcReceiver",
    "HttpReceiver",
    "PrometheusTranslation",
    "data_points",
    "grpc_receiver",
    "http_receiver",
    "partial_success",
    "success_response",
    "translate_to_prometheus",
]

SeriesKey = tuple[str, frozenset[tuple[str, str]]]


def partial_success(rejected: int, error_message: str) -> ExportMetricsServiceResponse:
    """Return a partial success."""
    partial = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=error_message)
    return ExportMetricsServiceResponse(partial_success=partial)


@dataclass
class HttpReceiver:
    """An OTLP endpoint over HTTP; ``respond`` returns the response to the n-th request."""

    address: str = ""
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    respond: Callable[[int], web.Response] = lambda _: success_response()
    release: asyncio.Event | None = None
    """If set, responses wait for this event."""

    async def handle(self, request: web.Request) -> web.Response:
        """Store a request if the response is a success."""
        body = await request.read()
        self.paths.append(request.path)
        self.headers.append(request.headers)
        response = self.respond(len(self.paths) - 1)
        if self.release is not None:
            await self.release.wait()
        if response.status == 200:
            self.sizes.append(len(body))
            self.requests.append(ExportMetricsServiceRequest.FromString(body))
        return response


def success_response(message: ExportMetricsServiceResponse | None = None) -> web.Response:
    """Return a success, or the given response."""
    body = (message or ExportMetricsServiceResponse()).SerializeToString()
    return web.Response(body=body, content_type="application/x-protobuf")


@asynccontextmanager
async def http_receiver(*, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[HttpReceiver]:
    """Run an HTTP receiver; its address is a value for ``otlp.endpoint``."""
    instance = HttpReceiver()
    application = web.Application(client_max_size=20 * 2**20)
    application.router.add_post("/{path:.*}", instance.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        instance.address = f"http://127.0.0.1:{port}" if tls is None else f"https://localhost:{port}"
        yield instance
    finally:
        await runner.cleanup()


@dataclass
class GrpcReceiver(MetricsServiceServicer):
    """A gRPC receiver; ``respond`` returns the response to the n-th request or aborts it."""

    address: str = ""
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    respond: Callable[[int, Any], ExportMetricsServiceResponse] = lambda _number, _call: (
        ExportMetricsServiceResponse()
    )

    def Export(  # noqa: N802 # gRPC defines the name.
        self, request: ExportMetricsServiceRequest, context: Any
    ) -> ExportMetricsServiceResponse:
        """Store a request."""
        self.metadata.append(dict(context.invocation_metadata()))
        response = self.respond(len(self.metadata) - 1, context)
        self.requests.append(request)
        return response


@contextmanager
def grpc_receiver(credentials: Any = None) -> Iterator[GrpcReceiver]:
    """Run a gRPC receiver; credentials enable TLS."""
    instance = GrpcReceiver()
    server = grpc.server(ThreadPoolExecutor(2))
    add_MetricsServiceServicer_to_server(instance, server)  # type: ignore[no-untyped-call]  # Ships no types.
    if credentials is None:
        instance.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        instance.address = f"https://localhost:{server.add_secure_port('localhost:0', credentials)}"
    server.start()
    try:
        yield instance
    finally:
        server.stop(0).wait()


@dataclass
class PrometheusTranslation:
    """Translated requests: series, start times of cumulative ones, and timestamps."""

    series: dict[SeriesKey, float] = field(default_factory=dict)
    start_times: dict[SeriesKey, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    help: dict[str, str] = field(default_factory=dict)
    timestamps: set[int] = field(default_factory=set)

    def add(self, name: str, labels: dict[str, str], value: float, start_time: int = 0) -> None:
        """Add a series; fail on a duplicate."""
        key = name, frozenset(labels.items())

        assert key not in self.series

        self.series[key] = value
        if start_time:
            self.start_times[key] = start_time / 1e9


def translate_to_prometheus(requests: Iterable[ExportMetricsServiceRequest]) -> PrometheusTranslation:
    """Return the translation of requests with the library's rules for names."""
    translation = PrometheusTranslation()
    for request in requests:
        for resource_metrics in request.resource_metrics:
            for scope in resource_metrics.scope_metrics:
                for metric in scope.metrics:
                    _translate(metric, translation)
    return translation


def _translate(metric: Metric, translation: PrometheusTranslation) -> None:
    name, unit = sanitize_full_name(metric.name), map_unit(metric.unit)
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    if metric.HasField("sum"):
        assert metric.sum.is_monotonic
        assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        name = f"{name}_total"
    translation.units[name], translation.help[name] = metric.unit, metric.description
    for point in data_points(metric):
        translation.timestamps.add(point.time_unix_nano)
        labels = {
            sanitize_attribute(attribute.key): attribute.value.string_value for attribute in point.attributes
        }
        if metric.HasField("histogram"):
            _translate_histogram(name, labels, point, translation)
        else:
            start_time = point.start_time_unix_nano if metric.HasField("sum") else 0
            translation.add(name, labels, point.as_double, start_time)


def _translate_histogram(
    name: str, labels: dict[str, str], point: Any, translation: PrometheusTranslation
) -> None:
    bounds = [*map(floatToGoString, point.explicit_bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(point.bucket_counts), strict=True):
        translation.add(f"{name}_bucket", labels | {"le": bound}, count, point.start_time_unix_nano)
    translation.add(f"{name}_count", labels, point.count, point.start_time_unix_nano)
    translation.add(f"{name}_sum", labels, point.sum, point.start_time_unix_nano)


def data_points(metric: Metric) -> Iterable[Any]:
    """Return the data points of a metric of any type."""
    points: Iterable[Any] = getattr(metric, metric.WhichOneof("data") or "").data_points
    return points
