"""Queries: exported series and labels, correct sums and rates, syntax of the oldest Prometheus."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml

from insights_exporter.metrics.family import APP_LABELS, Family, MetricType
from tests.dashboards.test_dashboard_linter import interpolate
from tests.support import dashboards
from tests.support.dashboards import CODERD_SERIES, DASHBOARD_SLUGS, load_dashboard
from tests.support.promql import Selector, family_of, parse_selectors, to_selector, walk_nodes

PROMETHEUS_SERIES: Final = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}
PROCESS_METRIC: Final = re.compile(r"process_(?!start_time)\w+|process_start_time_seconds")
TARGET_LABELS: Final = {"job", "instance"}
COUNTER_FUNCTIONS: Final = ("rate", "irate", "increase")

each_dashboard = pytest.mark.parametrize("slug", DASHBOARD_SLUGS)


def dashboard_queries(slug: str) -> Iterator[str]:
    """Yield the queries of a dashboard, which a parser accepts; a dashboard has at least one."""
    queries = [interpolate(slug, query) for query in dashboards.dashboard_queries(load_dashboard(slug))]
    assert queries
    yield from queries


def valid_labels(selector_: Selector) -> set[str] | None:
    """Return the labels that a series can have; None for an unknown name."""
    if labels := (PROMETHEUS_SERIES | CODERD_SERIES).get(selector_.name):
        return labels
    if PROCESS_METRIC.fullmatch(selector_.name):
        return TARGET_LABELS
    family = family_of(selector_.name)
    if family is None:
        return None
    return {*TARGET_LABELS, *family.labels, *(("le",) if selector_.name.endswith("_bucket") else ())}


@each_dashboard
def test_queries_use_only_exported_series_and_labels(slug: str) -> None:
    for query in dashboard_queries(slug):
        for selector_ in parse_selectors(query):
            labels = valid_labels(selector_)

            assert labels is not None, selector_.name
            assert set(selector_.matchers) <= labels


@each_dashboard
def test_rate_is_applied_to_counters_only(slug: str) -> None:
    """Gauges and gauge histograms can decrease, so their increase is meaningless."""
    for query in dashboard_queries(slug):
        for node in walk_nodes(promql_parser.parse(query)):
            if isinstance(node, promql_parser.Call) and node.func.name in COUNTER_FUNCTIONS:
                selector_ = to_selector(node.args[0])
                assert selector_ is not None
                family = family_of(selector_.name)

                assert selector_.name in {"process_cpu_seconds_total", *CODERD_SERIES} or family
                assert family is None or family.type in {MetricType.COUNTER, MetricType.HISTOGRAM}


def _sum_aggregations(query: str) -> Iterator[tuple[Any, Any]]:
    """Yield each sum or mean over families of the catalogue, with the aggregation directly below it."""
    tree = promql_parser.parse(query)
    share_totals = {str(node) for node in _share_totals(tree)}
    for node in walk_nodes(tree):
        is_sum = isinstance(node, promql_parser.AggregateExpr) and str(node.op) in {"sum", "avg"}
        if is_sum and str(node) not in share_totals and _families(node):
            inner = next(
                child for child in list(walk_nodes(node))[1:] if _is_aggregate(child) or to_selector(child)
            )
            if _is_aggregate(inner) or not _is_target_metric(inner):
                yield node, inner


def _is_target_metric(node: Any) -> bool:
    """Return whether a selector is of a metric that each replica has for itself, such as ``up``."""
    selector_ = to_selector(node)
    return selector_ is not None and family_of(selector_.name) is None


def _is_aggregate(node: Any) -> bool:
    return isinstance(node, promql_parser.AggregateExpr)


def _share_totals(tree: Any) -> Iterator[Any]:
    """Yield denominators that are the sum of the shown parts, and not a total."""
    for node in walk_nodes(tree):
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/" and _is_aggregate(node.rhs):
            inner: Any = node.rhs
            numerator, denominator = (
                str(side).replace("(", "").replace(")", "") for side in (node.lhs, inner.expr)
            )
            if denominator in numerator:
                yield node.rhs


def _families(node: Any) -> list[Family]:
    selectors_ = (to_selector(item) for item in walk_nodes(node))
    return [family for item in selectors_ if item and (family := family_of(item.name))]


def _grouping_labels(node: Any) -> set[str]:
    return set(node.modifier.labels) if node.modifier else set()


@each_dashboard
def test_replicas_are_deduplicated_before_sums(slug: str) -> None:
    for query in dashboard_queries(slug):
        for _, inner in _sum_aggregations(query):
            assert _is_aggregate(inner), query
            assert str(inner.op) in {"max", "sum", "avg", "count", "topk"}


@each_dashboard
def test_sums_are_over_summable_labels_only(slug: str) -> None:
    """Each replica makes its own requests, so self metrics can be added over instances."""
    for query in dashboard_queries(slug):
        for node, inner in _sum_aggregations(query):
            families = _families(node)
            summable = {label for family in families for label in family.summable} | {"job"}
            if all(family.collector == "exporter" for family in families):
                summable.add("instance")
            if "family" in _grouping_labels(node):
                # Client programs of a family replace each other, so few users have two of them open.
                summable |= set(APP_LABELS)

            assert str(node.op) == "avg" or _grouping_labels(inner) - _grouping_labels(node) <= summable, (
                query
            )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
@each_dashboard
def test_the_oldest_supported_prometheus_accepts_every_query(slug: str, tmp_path: Path) -> None:
    """Debian's promtool is 2.42, the oldest supported Prometheus."""
    rules = [
        {"record": f"asked:{number}", "expr": query}
        for number, query in enumerate(dashboard_queries(slug), start=1)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": slug, "rules": rules}]}))
    result = subprocess.run(["promtool", "check", "rules", str(file)], check=False, capture_output=True)

    assert result.returncode == 0, result.stderr.decode()
