"""Queries as panels ask them: over a range, at its end, as rows of a table, as buckets of a heatmap."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from insights_exporter.bundle.dashboards.house import PROMETHEUS
from insights_exporter.bundle.queries import Vector

__all__ = ["Target", "at_end", "buckets", "expressions", "rows", "series", "spread"]

Target = prometheus.Dataquery


def _target(query: Vector | str) -> Target:
    return Target().datasource(PROMETHEUS).expr(str(query)).editor_mode(QueryEditorMode.CODE)


def series(query: Vector | str, legend: str = "__auto", *, interval: str = "") -> Target:
    """Ask over the whole range; ``interval`` is the shortest step."""
    target = _target(query).range().format(PromQueryFormat.TIME_SERIES).legend_format(legend)
    return target.interval(interval) if interval else target


def at_end(query: Vector | str, legend: str = "__auto") -> Target:
    """Ask once, at the end of the range."""
    return _target(query).instant().format(PromQueryFormat.TIME_SERIES).legend_format(legend)


def rows(query: Vector | str) -> Target:
    """Ask once and get a table with a column per label."""
    return _target(query).instant().format(PromQueryFormat.TABLE)


def buckets(query: Vector | str, *, interval: str = "") -> Target:
    """Ask for cumulative buckets by ``le``; Grafana takes them apart."""
    target = _target(query).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    return target.interval(interval) if interval else target


def spread(query: Vector | str) -> Target:
    """Ask once for cumulative buckets by ``le``; Grafana takes them apart."""
    return _target(query).instant().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")


def expressions(targets: Iterable[Target]) -> list[str]:
    """Return what is asked."""
    return [target.build().expr for target in targets]
