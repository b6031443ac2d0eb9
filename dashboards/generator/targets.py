"""Prometheus targets: instant values, ranges, tables and histogram buckets."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from dashboards.generator.queries import self_metrics
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
    """Return a range query; ``interval`` is its minimum step."""
    target = _target(query).range().format(PromQueryFormat.TIME_SERIES).legend_format(legend)
    return target.interval(interval) if interval else target


def instant_query(query: Expr | str, legend: str = "__auto") -> Target:
    """Return an instant query at the end of the range."""
    return _target(query).instant().format(PromQueryFormat.TIME_SERIES).legend_format(legend)


def table_query(query: Expr | str, *, always_shown: bool = False) -> Target:
    """Return an instant query whose result is a table with a column per label.

    Old data is not shown, unless it is ``always_shown``.
    """
    text = str(query) if always_shown else f"({query}) and on () {self_metrics.fresh()}"
    return _target(text).instant().format(PromQueryFormat.TABLE)


def heatmap_query(query: Expr | str, *, interval: str = "") -> Target:
    """Return a range query of cumulative buckets by ``le``."""
    target = _target(query).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    return target.interval(interval) if interval else target


def histogram_query(query: Expr | str) -> Target:
    """Return an instant query of cumulative buckets by ``le``."""
    return _target(query).instant().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")


def expressions(targets: Iterable[Target]) -> list[str]:
    """Return the PromQL of some targets."""
    return [target.build().expr for target in targets]
