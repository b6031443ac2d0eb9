"""Analysis of PromQL queries with the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import promql_parser

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family, MetricType

__all__ = ["Selector", "family_of", "parse_selectors", "to_selector", "walk_nodes"]


@dataclass(frozen=True)
class Selector:
    """A vector selector: the name, and matchers as (operator, value)."""

    name: str
    matchers: dict[str, tuple[str, str]]


def walk_nodes(node: Any) -> Iterator[Any]:
    """Yield an expression and its descendants."""
    yield node
    for name in ("lhs", "rhs", "expr"):
        if (child := getattr(node, name, None)) is not None:
            yield from walk_nodes(child)
    for child in getattr(node, "args", ()):
        yield from walk_nodes(child)


def parse_selectors(query: str) -> list[Selector]:
    """Return all selectors of a query; raise for invalid PromQL."""
    return [
        selector_or_none
        for node in walk_nodes(promql_parser.parse(query))
        if (selector_or_none := to_selector(node)) is not None
    ]


def to_selector(node: Any) -> Selector | None:
    """Return the selector of a node; None for other nodes."""
    if isinstance(node, promql_parser.MatrixSelector):
        node = node.vector_selector
    if not isinstance(node, promql_parser.VectorSelector):
        return None
    matchers = {
        matcher.name: (_OPERATORS[str(matcher.op)], matcher.value) for matcher in node.matchers.matchers
    }
    return Selector(node.name or "", matchers)


def family_of(name: str) -> Family | None:
    """Return the family of a series; None for an unknown one."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        try:
            family = catalogue.get_family(name.removesuffix(suffix))
        except KeyError:
            continue
        if (family.type in {MetricType.HISTOGRAM, MetricType.GAUGE_HISTOGRAM}) == bool(suffix):
            return family
    return None


_OPERATORS: Final = {
    str(promql_parser.MatchOp.Equal): "=",
    str(promql_parser.MatchOp.NotEqual): "!=",
    str(promql_parser.MatchOp.Re): "=~",
    str(promql_parser.MatchOp.NotRe): "!~",
}
