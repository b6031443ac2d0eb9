"""Queries as panels ask them: over a range, at its end, as rows of a table, as buckets of a heatmap."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from dashboards.generator.theme import DATASOURCE
from insights_exporter.bundle.promql import Expr

__all__ = [
    "Target",
    "expressions",
    "heatmap_query",
    "histogram_query",
    "instant_query",
    "range_query",
    "table_query",
]

Target = prometheus.Dataquery


def _target(query: Expr | str) -> Target:
    return Target().datasource(DATASOURCE).expr(str(query)).editor_mode(QueryEditorMode.CODE)


def range_query(query: Expr | str, legend: str = "__auto", *, interval: str = "") -> Target:
    """Ask over the whole range; ``interval`` is the shortest step."""
    target = _target(query).range().format(PromQueryFormat.TIME_SERIES).legend_format(legend)
    return target.interval(interval) if interval else target


def instant_query(query: Expr | str, legend: str = "__auto") -> Target:
    """Ask once, at the end of the range."""
    return _target(query).instant().format(PromQueryFormat.TIME_SERIES).legend_format(legend)


def table_query(query: Expr | str) -> Target:
    """Ask once and get a table with a column per label."""
    return _target(query).instant().format(PromQueryFormat.TABLE)


def heatmap_query(query: Expr | str, *, interval: str = "") -> Target:
    """Ask for cumulative buckets by ``le``; Grafana takes them apart."""
    target = _target(query).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    return target.interval(interval) if interval else target


def histogram_query(query: Expr | str) -> Target:
    """Ask once for cumulative buckets by ``le``; Grafana takes them apart."""
    return _target(query).instant().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")


def expressions(targets: Iterable[Target]) -> list[str]:
    """Return what is asked."""
    return [target.build().expr for target in targets]
