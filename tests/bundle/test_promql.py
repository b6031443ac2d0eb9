"""What dashboards ask: in the catalogue's words, of things that add up, and legal in an old Prometheus."""

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

from insights_exporter.metrics.family import Family, Kind
from tests.bundle.test_lint import filled
from tests.support.boards import BOARDS, board, every_panel, variables
from tests.support.promql import Selector, family_of, selector, selectors, walk

OF_PROMETHEUS: Final = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}
OF_EVERY_CLIENT: Final = re.compile(r"process_(?!start_time)\w+|process_start_time_seconds")
TARGET: Final = {"job", "instance"}
IN_A_RANGE: Final = ("rate", "irate", "increase")

each_board = pytest.mark.parametrize("slug", BOARDS)


def queries(slug: str) -> Iterator[str]:
    """Yield all that a dashboard asks Prometheus: panels, variables and marks of alerts."""
    for panel in every_panel(slug):
        yield from (filled(slug, target["expr"]) for target in panel.targets)
    for one in variables(slug):
        if one["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), [a-z_]+\)", one["query"])
            assert match is not None
            yield filled(slug, match[1])
    yield from (filled(slug, one["expr"]) for one in board(slug)["annotations"]["list"] if "expr" in one)


def labels_of(found: Selector) -> set[str] | None:
    """Return the labels that a series can have; None for a name that nobody serves."""
    if found.name in OF_PROMETHEUS:
        return OF_PROMETHEUS[found.name]
    if OF_EVERY_CLIENT.fullmatch(found.name):
        return TARGET
    family = family_of(found.name)
    if family is None:
        return None
    return {*TARGET, *family.labels, *(("le",) if found.name.endswith("_bucket") else ())}


@each_board
def test_a_query_names_only_what_is_served(slug: str) -> None:
    for query in queries(slug):
        for found in selectors(query):
            labels = labels_of(found)

            assert labels is not None, found.name
            assert set(found.matchers) <= labels


@each_board
def test_only_counters_have_rates(slug: str) -> None:
    """The increase of a gauge means nothing, nor does that of a histogram which can fall."""
    for query in queries(slug):
        for node in walk(promql_parser.parse(query)):
            if isinstance(node, promql_parser.Call) and node.func.name in IN_A_RANGE:
                found = selector(node.args[0])
                assert found is not None
                family = family_of(found.name)

                assert found.name == "process_cpu_seconds_total" or family
                assert family is None or family.kind in {Kind.COUNTER, Kind.HISTOGRAM}


def _sums(query: str) -> Iterator[tuple[Any, Any]]:
    """Yield each sum or mean over families of the catalogue, with the aggregation right below it."""
    tree = promql_parser.parse(query)
    shares = {str(node) for node in _wholes_of_shares(tree)}
    for node in walk(tree):
        summed = isinstance(node, promql_parser.AggregateExpr) and str(node.op) in {"sum", "avg"}
        if summed and str(node) not in shares and _families(node):
            yield node, next(one for one in list(walk(node))[1:] if _is_aggregate(one) or selector(one))


def _is_aggregate(node: Any) -> bool:
    return isinstance(node, promql_parser.AggregateExpr)


def _wholes_of_shares(tree: Any) -> Iterator[Any]:
    """Yield sums of parts that one of these parts is divided by: what is shown, and no total."""
    for node in walk(tree):
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/" and _is_aggregate(node.rhs):
            inner: Any = node.rhs
            part, whole = (str(one).replace("(", "").replace(")", "") for one in (node.lhs, inner.expr))
            if whole in part:
                yield node.rhs


def _families(node: Any) -> list[Family]:
    found = (selector(one) for one in walk(node))
    return [family for one in found if one and (family := family_of(one.name))]


def _by(node: Any) -> set[str]:
    return set(node.modifier.labels) if node.modifier else set()


@each_board
def test_replicas_are_joined_before_anything_is_added_up(slug: str) -> None:
    for query in queries(slug):
        for _, inner in _sums(query):
            assert _is_aggregate(inner), query
            assert str(inner.op) in {"max", "sum", "avg", "count", "topk"}


@each_board
def test_nothing_is_added_up_that_does_not_add_up(slug: str) -> None:
    """Each replica makes requests of its own, so what the exporter says of itself adds up over instances."""
    for query in queries(slug):
        for node, inner in _sums(query):
            families = _families(node)
            summable = {label for family in families for label in family.summable} | {"job"}
            if all(family.collector == "exporter" for family in families):
                summable.add("instance")

            assert str(node.op) == "avg" or _by(inner) - _by(node) <= summable, query


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
@each_board
def test_an_old_prometheus_takes_every_query(slug: str, tmp_path: Path) -> None:
    """Debian's promtool is 2.42, the oldest that is promised."""
    rules = [
        {"record": f"asked:{number}", "expr": query} for number, query in enumerate(queries(slug), start=1)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": slug, "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], check=False, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()
