"""The alerts as they stand in the tree, and PromQL taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

__all__ = [
    "ALERTS",
    "RULE_FILES",
    "Selector",
    "alerts",
    "grafana_rules",
    "recordings",
    "selector",
    "selectors",
    "walk",
]

ALERTS: Final = Path(__file__).parents[2] / "alerts"
RULE_FILES: Final = tuple(sorted((ALERTS / "prometheus").glob("*.yml")))


@cache
def _document(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def _rules(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        for group in _document(path)["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    """Return the alerts of Prometheus' form."""
    return [rule for rule in _rules(*RULE_FILES) if "alert" in rule]


def recordings() -> list[dict[str, Any]]:
    """Return the recorded series."""
    return [rule for rule in _rules(*RULE_FILES) if "record" in rule]


def grafana_rules() -> list[dict[str, Any]]:
    """Return the alerts of Grafana's form."""
    return list(_rules(ALERTS / "grafana" / "coder-insights.yaml"))


@dataclass(frozen=True)
class Selector:
    """What a query asks of the database: a name, and matchers as operator and value."""

    name: str
    matchers: dict[str, tuple[str, str]]


def walk(node: Any) -> Iterator[Any]:
    """Yield an expression of PromQL and all that it is made of."""
    yield node
    for name in ("lhs", "rhs", "expr"):
        if (child := getattr(node, name, None)) is not None:
            yield from walk(child)
    for child in getattr(node, "args", ()):
        yield from walk(child)


def selectors(query: str) -> list[Selector]:
    """Return all selectors of a query; raises where it cannot be parsed."""
    return [found for node in walk(promql_parser.parse(query)) if (found := selector(node)) is not None]


def selector(node: Any) -> Selector | None:
    """Return what a node selects; None where it is something else."""
    if isinstance(node, promql_parser.MatrixSelector):
        node = node.vector_selector
    if not isinstance(node, promql_parser.VectorSelector):
        return None
    matchers = {one.name: (_OPERATORS[str(one.op)], one.value) for one in node.matchers.matchers}
    return Selector(node.name or "", matchers)


_OPERATORS: Final = {
    str(promql_parser.MatchOp.Equal): "=",
    str(promql_parser.MatchOp.NotEqual): "!=",
    str(promql_parser.MatchOp.Re): "=~",
    str(promql_parser.MatchOp.NotRe): "!~",
}
