"""Build PromQL from the families of the metrics catalogue.

All replicas of the exporter serve identical series. ``latest``, ``rate`` and ``increase`` therefore return
each series once, with the family's labels and ``job``. ``Expr.sum`` accepts only labels that the catalogue
declares as summable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from insights_exporter.metrics.family import Family, MetricType

__all__ = [
    "TARGET_MATCHERS",
    "Expr",
    "Matcher",
    "MatcherValue",
    "QueryBuilder",
    "not_equal",
    "not_regex",
    "regex",
    "share",
]

TARGET_MATCHERS: Final = ('job=~"$job"', 'instance=~"$instance"')
"""Matchers in every selector of a dashboard."""

_TARGET_LABELS: Final = ("job",)
_SELF_METRICS_COLLECTOR: Final = "exporter"
_HISTOGRAM_KINDS: Final = (MetricType.HISTOGRAM, MetricType.GAUGE_HISTOGRAM)


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label matcher: the PromQL operator, its value, and a value to exclude."""

    operator: str
    value: str
    excluded: str = ""

    def excluding(self, value: str) -> Matcher:
        """Return the same matcher without one value."""
        return replace(self, excluded=value)

    def render(self, label: str) -> str:
        """Return the PromQL for a label."""
        exclusion = f', {label}!="{self.excluded}"' if self.excluded else ""
        return f'{label}{self.operator}"{self.value}"{exclusion}'


MatcherValue = str | Matcher
"""A matcher; a string means equality."""


def regex(pattern: str) -> Matcher:
    """Return a matcher for a regular expression."""
    return Matcher("=~", pattern)


def not_regex(pattern: str) -> Matcher:
    """Return a matcher for values that a regular expression does not match."""
    return Matcher("!~", pattern)


def not_equal(value: str) -> Matcher:
    """Return a matcher for every value except one."""
    return Matcher("!=", value)


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression, the labels of its result, and the labels over which a sum is correct.

    ``max_operand`` is the operand of an outermost ``max``, so that a second ``max`` replaces the first one.
    """

    text: str
    labels: tuple[str, ...]
    summable: frozenset[str]
    max_operand: str = ""

    def __str__(self) -> str:
        """Return the PromQL."""
        return self.text

    def sum(self, *by: str) -> Expr:
        """Return the sum by some labels; raise ValueError if it would count values twice."""
        if non_summable := set(self.labels) - set(by) - self.summable - set(_TARGET_LABELS):
            raise ValueError(f"Expected no sum over {', '.join(sorted(non_summable))} in {self.text}.")
        return self._aggregate("sum", by)

    def max(self, *by: str) -> Expr:
        """Return the maximum by some labels."""
        return self._aggregate("max", by, self.max_operand or self.text)

    def count(self, *by: str) -> Expr:
        """Return the number of series by some labels."""
        return self._aggregate("count", by)

    def topk(self, k: int | str) -> Expr:
        """Return the ``k`` largest series."""
        return replace(self, text=f"topk({k}, {self.text})", max_operand="")

    def largest(self, *by: str) -> Expr:
        """Return the series with the largest value of each group, all of them in a tie.

        ``topk by (...) (1, ...)`` returns one of them, and databases do not agree on which.
        """
        largest = self._aggregate("max", by)
        text = f"({self.text} == on ({', '.join(by)}) group_left () {largest})"
        return replace(self, text=text, max_operand="")

    def apply(self, function: str, *arguments: str) -> Expr:
        """Return a function call that keeps the labels."""
        return replace(self, text=f"{function}({', '.join((self.text, *arguments))})", max_operand="")

    def and_on(self, other: Expr | str, *on: str) -> Expr:
        """Return the series that also exist in another expression."""
        return replace(self, text=f"({self.text} and on ({', '.join(on)}) {other})", max_operand="")

    def unless_on(self, other: Expr | str, *on: str) -> Expr:
        """Return the series that do not exist in another expression."""
        return replace(self, text=f"({self.text} unless on ({', '.join(on)}) {other})", max_operand="")

    def or_else(self, other: Expr) -> Expr:
        """Return this expression, or another one while this returns no series at all."""
        return replace(self, text=f"({self.text} or ({other.text} unless on () {self.text}))", max_operand="")

    def binary_op(self, operation: str) -> Expr:
        """Return the result of an operator and a scalar, such as ``* 100``."""
        return replace(self, text=f"({self.text} {operation})", max_operand="")

    def join_info(self, info: Expr, *labels: str) -> Expr:
        """Add labels from an info family that shares labels with this; keep series without info unchanged.

        ``topk by (...) (1, ...)`` keeps one info series, because replicas can disagree for one poll.
        """
        join_labels, new_labels = (
            ", ".join(label for label in self.labels if label in info.labels),
            ", ".join(labels),
        )
        single_info = f"topk by ({join_labels}) (1, {info.max_operand or info.text})"
        joined = f"{self.text} * on ({join_labels}) group_left ({new_labels}) {single_info}"
        text = f"({joined} or ignoring ({new_labels}) {self.text})"
        return replace(self, text=text, labels=(*self.labels, *labels), max_operand="")

    def coalesce_label(self, label: str, *sources: str) -> Expr:
        """Add a label with the last non-empty value of some labels."""
        text = self.text
        for source in sources:
            text = f'label_replace({text}, "{label}", "$1", "{source}", "(.+)")'
        return replace(self, text=text, labels=(*self.labels, label), max_operand="")

    def minimum(self, limit: Expr | str, *on: str) -> Expr:
        """Return the smaller of this and a limit; series without a limit stay unchanged."""
        by = f"on ({', '.join(on)})"
        text = f"(({self.text} > {by} {limit}) * 0 + {by} {limit} or {self.text})"
        return replace(self, text=text, max_operand="")

    def share_of_total(self, *by: str) -> Expr:
        """Return each series divided by the sum of its group, also for overlapping times."""
        text = f"{self.text} / on ({', '.join(by)}) group_left () sum by ({', '.join(by)}) ({self.text})"
        return replace(self, text=f"({text})", summable=frozenset(), max_operand="")

    def _aggregate(self, operator: str, by: tuple[str, ...], operand: str = "") -> Expr:
        if unknown := set(by) - set(self.labels):
            raise ValueError(f"Expected labels of {self.text}, found {', '.join(sorted(unknown))}.")
        grouping = f" by ({', '.join(by)}) " if by else ""
        return Expr(f"{operator}{grouping}({operand or self.text})", by, self.summable & set(by))


def share(numerator: Expr | str, denominator: Expr | str) -> str:
    """Return a ratio that is absent, not NaN, where the denominator is 0."""
    return f"{numerator} / ({denominator} > 0)"


@dataclass(frozen=True, slots=True)
class QueryBuilder:
    """Builder of selectors and expressions with common matchers.

    ``target_labels`` stay in every result. With ``instance`` among them, replicas are not deduplicated.
    """

    matchers: tuple[str, ...] = ()
    target_labels: tuple[str, ...] = ("job",)

    def selector(self, family: Family, /, **labels: MatcherValue) -> str:
        """Return a selector; raise ValueError for a label that the family does not have."""
        return self._selector(family, labels)

    def latest(self, family: Family, /, **labels: MatcherValue) -> Expr:
        """Return the current values of a family, without the labels that are matched by equality."""
        return self._dedupe_replicas(family, self._selector(family, labels), labels)

    def at_offset(self, family: Family, offset: str, /, **labels: MatcherValue) -> Expr:
        """Return the values of a family at an offset."""
        return self._dedupe_replicas(family, f"{self._selector(family, labels)} offset {offset}", labels)

    def predict_linear(
        self, family: Family, range_: str, seconds_ahead: str, /, **labels: MatcherValue
    ) -> Expr:
        """Return the linear extrapolation of a gauge, some seconds ahead."""
        return self._dedupe_replicas(
            family, f"predict_linear({self._selector(family, labels)}[{range_}], {seconds_ahead})", labels
        )

    def over_time(self, function: str, family: Family, range_: str, /, **labels: MatcherValue) -> Expr:
        """Return a function over a range, such as ``7d`` or ``7d offset 1d``."""
        duration, _, offset = range_.partition(" ")
        range_selector = f"{self._selector(family, labels)}[{duration}]{f' {offset}' if offset else ''}"
        return self._dedupe_replicas(family, f"{function}({range_selector})", labels)

    def rate(self, family: Family, range_: str = "$__rate_interval", /, **labels: MatcherValue) -> Expr:
        """Return the increase of a counter per second."""
        return self.over_time("rate", family, range_, **labels)

    def increase(self, family: Family, range_: str = "$__range", /, **labels: MatcherValue) -> Expr:
        """Return the increase of a counter."""
        return self.over_time("increase", family, range_, **labels)

    def buckets(self, family: Family, range_: str = "", /, **labels: MatcherValue) -> Expr:
        """Return cumulative buckets, or their rate if ``range_`` is given."""
        selector = self._selector(family, labels, "_bucket")
        return self._dedupe_replicas(
            family, f"rate({selector}[{range_}])" if range_ else selector, labels, "le"
        )

    def increase_buckets(self, family: Family, range_: str, /, **labels: MatcherValue) -> Expr:
        """Return the increase of cumulative buckets."""
        return self._dedupe_replicas(
            family, f"increase({self._selector(family, labels, '_bucket')}[{range_}])", labels, "le"
        )

    def rate_of(self, family: Family, suffix: str, range_: str, /, **labels: MatcherValue) -> Expr:
        """Return the rate of the ``_sum`` or ``_count`` of a histogram."""
        return self._dedupe_replicas(
            family, f"rate({self._selector(family, labels, suffix)}[{range_}])", labels
        )

    def _selector(self, family: Family, labels: Mapping[str, MatcherValue], suffix: str = "") -> str:
        if suffix and family.type not in _HISTOGRAM_KINDS:
            raise ValueError(f"Expected a histogram, found {family.name}.")
        valid_labels = {*family.labels, *(("le",) if suffix == "_bucket" else ())}
        if unknown_labels := set(labels) - valid_labels:
            raise ValueError(f"Expected labels of {family.name}, found {', '.join(sorted(unknown_labels))}.")
        matchers = {
            name: value if isinstance(value, Matcher) else Matcher("=", value)
            for name, value in labels.items()
        }
        rendered = (matcher.render(label) for label, matcher in matchers.items())
        return f"{family.name}{suffix}{{{', '.join((*self.matchers, *rendered))}}}"

    def _dedupe_replicas(
        self, family: Family, text: str, matchers: Mapping[str, MatcherValue], *extra_labels: str
    ) -> Expr:
        equality_labels = {name for name, matcher in matchers.items() if isinstance(matcher, str)}
        labels = (
            *self.target_labels,
            *(name for name in (*family.labels, *extra_labels) if name not in equality_labels),
        )
        # Replicas serve identical data of Coder, but each one its own self metrics.
        self_labels = {"instance"} if family.collector == _SELF_METRICS_COLLECTOR else set[str]()
        summable = family.summable | set(_TARGET_LABELS) | self_labels
        return Expr(f"max by ({', '.join(labels)}) ({text})", labels, summable, text)
