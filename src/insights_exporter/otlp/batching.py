"""Splits metric streams into requests of bounded size; receivers reject requests that are too large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from insights_exporter.otlp.points import MetricStream, Point

__all__ = ["MAX_REQUEST_BYTES", "split_batches"]

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
