"""PromQL taken apart, and held against the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import promql_parser

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family, Kind

__all__ = ["Selector", "family_of", "selector", "selectors", "walk"]


@dataclass(frozen=True)
class Selector:
    """What a query asks of the database: a name, and matchers as operator and value."""

    name: str
    matchers: dict[str, tuple[str, str]]


def walk(node: Any) -> Iterator[Any]:
    """Yield an expression and all that it is made of."""
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


def family_of(name: str) -> Family | None:
    """Return the family that a series belongs to; None where the catalogue knows of none."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        try:
            found = catalogue.family(name.removesuffix(suffix))
        except KeyError:
            continue
        if (found.kind in {Kind.HISTOGRAM, Kind.GAUGE_HISTOGRAM}) == bool(suffix):
            return found
    return None


_OPERATORS: Final = {
    str(promql_parser.MatchOp.Equal): "=",
    str(promql_parser.MatchOp.NotEqual): "!=",
    str(promql_parser.MatchOp.Re): "=~",
    str(promql_parser.MatchOp.NotRe): "!~",
}
