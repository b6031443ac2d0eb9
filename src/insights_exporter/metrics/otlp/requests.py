"""Streams of points cut into requests of bounded size, so that no receiver refuses one for being large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from insights_exporter.metrics.otlp.points import Point, Stream

__all__ = ["LARGEST", "requests"]

LARGEST: Final = 2 * 2**20
"""Bytes of a request before compression, about; a receiver of gRPC takes 4 MiB where nobody changed it."""

_SCOPE: Final = InstrumentationScope("insights_exporter")
"""Without a version: receivers put it on every series, and each release would begin new ones."""

_METRIC: Final = 64
_ATTRIBUTE: Final = 12


def requests(
    streams: Iterable[Stream], resource: Resource, *, largest: int = LARGEST
) -> Iterator[MetricsData]:
    """Yield all points, many in a request; a stream may go on in the next one."""
    metrics: list[Metric] = []
    size = 0
    for stream in streams:
        points: list[Point] = []
        size += _METRIC + len(stream.name) + len(stream.help)
        for point in stream.points:
            width = stream.width + _width(point.attributes or {})
            if size + width > largest and (metrics or points):
                if points:
                    metrics.append(stream.metric(points))
                yield _request(metrics, resource)
                metrics, points, size = [], [], 0
            points.append(point)
            size += width
        if points:
            metrics.append(stream.metric(points))
    if metrics:
        yield _request(metrics, resource)


def _request(metrics: list[Metric], resource: Resource) -> MetricsData:
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(_SCOPE, metrics, "")], "")])


def _width(attributes: Mapping[str, Any]) -> int:
    """Return how many bytes attributes take, about."""
    return sum(
        _ATTRIBUTE + len(name) + (len(value) if value.isascii() else len(value.encode()))
        for name, value in attributes.items()
    )
