"""PromQL, built out of the catalogue's families.

Every replica of the exporter serves the same series, so each query first keeps one of them: ``latest``,
``rate`` and ``increase`` return each series once, with the family's labels and ``job``, which tells apart
several deployments of Coder. Only then may one sum, and only over labels for which that means something.
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
"""The matchers that every query of a dashboard carries."""

_TARGET_LABELS: Final = ("job",)
_SELF_METRICS_COLLECTOR: Final = "exporter"
_HISTOGRAM_KINDS: Final = (MetricType.HISTOGRAM, MetricType.GAUGE_HISTOGRAM)


@dataclass(frozen=True, slots=True)
class Matcher:
    """How a label is matched: an operator of PromQL and what stands behind it; ``never`` is left out."""

    operator: str
    value: str
    excluded: str = ""

    def excluding(self, value: str) -> Matcher:
        """Match the same without one value."""
        return replace(self, excluded=value)

    def render(self, label: str) -> str:
        """Return the matchers as PromQL has them."""
        exclusion = f', {label}!="{self.excluded}"' if self.excluded else ""
        return f'{label}{self.operator}"{self.value}"{exclusion}'


MatcherValue = str | Matcher
"""What a label is matched by; a string stands for equality."""


def regex(pattern: str) -> Matcher:
    """Match a regular expression."""
    return Matcher("=~", pattern)


def not_regex(pattern: str) -> Matcher:
    """Match what a regular expression does not."""
    return Matcher("!~", pattern)


def not_equal(value: str) -> Matcher:
    """Match anything but one value."""
    return Matcher("!=", value)


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression, the labels of its result, and over which of them a sum means something.

    ``inner`` is what the expression is the largest of, so that a second maximum need not wrap the first.
    """

    text: str
    labels: tuple[str, ...]
    summable: frozenset[str]
    max_operand: str = ""

    def __str__(self) -> str:
        """Return the PromQL."""
        return self.text

    def sum(self, *by: str) -> Expr:
        """Add up over all other labels; raise ValueError where that would count something twice."""
        if non_summable := set(self.labels) - set(by) - self.summable - set(_TARGET_LABELS):
            raise ValueError(f"Expected no sum over {', '.join(sorted(non_summable))} in {self.text}.")
        return self._aggregate("sum", by)

    def max(self, *by: str) -> Expr:
        """Keep the largest over all other labels."""
        return self._aggregate("max", by, self.max_operand or self.text)

    def avg(self, *by: str) -> Expr:
        """Take the mean over all other labels."""
        return self._aggregate("avg", by)

    def count(self, *by: str) -> Expr:
        """Count over all other labels."""
        return self._aggregate("count", by)

    def topk(self, k: int | str) -> Expr:
        """Keep the largest few."""
        return replace(self, text=f"topk({k}, {self.text})", max_operand="")

    def apply(self, function: str, *arguments: str) -> Expr:
        """Apply a function that keeps labels."""
        return replace(self, text=f"{function}({', '.join((self.text, *arguments))})", max_operand="")

    def and_on(self, other: Expr | str, *on: str) -> Expr:
        """Keep what another expression has, too."""
        return replace(self, text=f"({self.text} and on ({', '.join(on)}) {other})", max_operand="")

    def unless_on(self, other: Expr | str, *on: str) -> Expr:
        """Keep what another expression has not."""
        return replace(self, text=f"({self.text} unless on ({', '.join(on)}) {other})", max_operand="")

    def or_else(self, other: Expr) -> Expr:
        """Keep this, or another expression where this finds nothing at all."""
        return replace(self, text=f"({self.text} or ({other.text} unless on () {self.text}))", max_operand="")

    def binary_op(self, operation: str) -> Expr:
        """Apply an operator and a scalar, as in ``* 100``."""
        return replace(self, text=f"({self.text} {operation})", max_operand="")

    def join_info(self, info: Expr, *labels: str) -> Expr:
        """Add labels out of an info family that shares labels with this; what has no info stays as it is.

        Replicas may disagree about a name for a moment, so one of the infos is kept.
        """
        join_labels, new_labels = (
            ", ".join(label for label in self.labels if label in info.labels),
            ", ".join(labels),
        )
        single_info = f"topk by ({join_labels}) (1, {info.max_operand or info.text})"
        text = f"({self.text} * on ({join_labels}) group_left ({new_labels}) {single_info} or ignoring ({new_labels}) {self.text})"
        return replace(self, text=text, labels=(*self.labels, *labels), max_operand="")

    def coalesce_label(self, label: str, *sources: str) -> Expr:
        """Add a label that holds the last of some labels that is not empty."""
        text = self.text
        for source in sources:
            text = f'label_replace({text}, "{label}", "$1", "{source}", "(.+)")'
        return replace(self, text=text, labels=(*self.labels, label), max_operand="")

    def share_of_total(self, *by: str) -> Expr:
        """Divide by the sum within each group, even where times overlap: a bar's share of what is shown."""
        text = f"{self.text} / on ({', '.join(by)}) group_left () sum by ({', '.join(by)}) ({self.text})"
        return replace(self, text=f"({text})", summable=frozenset(), max_operand="")

    def _aggregate(self, operator: str, by: tuple[str, ...], operand: str = "") -> Expr:
        if unknown := set(by) - set(self.labels):
            raise ValueError(f"Expected labels of {self.text}, found {', '.join(sorted(unknown))}.")
        grouping = f" by ({', '.join(by)}) " if by else ""
        return Expr(f"{operator}{grouping}({operand or self.text})", by, self.summable & set(by))


def share(numerator: Expr | str, denominator: Expr | str) -> str:
    """Return a ratio that is absent instead of NaN where the whole is 0."""
    return f"{numerator} / ({denominator} > 0)"


@dataclass(frozen=True, slots=True)
class QueryBuilder:
    """Where series are looked for: matchers that every selector carries.

    ``target`` holds the labels by which targets are told apart; with ``instance`` among them, each replica
    of the exporter stands for itself.
    """

    matchers: tuple[str, ...] = ()
    target_labels: tuple[str, ...] = ("job",)

    def selector(self, family: Family, /, **labels: MatcherValue) -> str:
        """Return a selector; raise ValueError for a label that the family does not have."""
        return self._selector(family, labels)

    def latest(self, family: Family, /, **labels: MatcherValue) -> Expr:
        """Return what a family says now; labels that are matched by one value are left out."""
        return self._dedupe_replicas(family, self._selector(family, labels), labels)

    def at_offset(self, family: Family, offset: str, /, **labels: MatcherValue) -> Expr:
        """Return what a family said some time ago."""
        return self._dedupe_replicas(family, f"{self._selector(family, labels)} offset {offset}", labels)

    def predict_linear(
        self, family: Family, range_: str, seconds_ahead: str, /, **labels: MatcherValue
    ) -> Expr:
        """Return where a gauge is heading: its straight line over a range, some seconds ahead."""
        return self._dedupe_replicas(
            family, f"predict_linear({self._selector(family, labels)}[{range_}], {seconds_ahead})", labels
        )

    def over_time(self, function: str, family: Family, range_: str, /, **labels: MatcherValue) -> Expr:
        """Apply a function over a range, such as ``7d`` or, ended earlier, ``7d offset 1d``."""
        duration, _, offset = range_.partition(" ")
        range_selector = f"{self._selector(family, labels)}[{duration}]{f' {offset}' if offset else ''}"
        return self._dedupe_replicas(family, f"{function}({range_selector})", labels)

    def rate(self, family: Family, range_: str = "$__rate_interval", /, **labels: MatcherValue) -> Expr:
        """Return how fast a counter rises, per second."""
        return self.over_time("rate", family, range_, **labels)

    def increase(self, family: Family, range_: str = "$__range", /, **labels: MatcherValue) -> Expr:
        """Return by how much a counter rose."""
        return self.over_time("increase", family, range_, **labels)

    def buckets(self, family: Family, range_: str = "", /, **labels: MatcherValue) -> Expr:
        """Return the cumulative buckets as they stand, or how fast they rise where ``over`` is given."""
        selector = self._selector(family, labels, "_bucket")
        return self._dedupe_replicas(
            family, f"rate({selector}[{range_}])" if range_ else selector, labels, "le"
        )

    def increase_buckets(self, family: Family, range_: str, /, **labels: MatcherValue) -> Expr:
        """Return by how much cumulative buckets rose."""
        return self._dedupe_replicas(
            family, f"increase({self._selector(family, labels, '_bucket')}[{range_}])", labels, "le"
        )

    def rate_of(self, family: Family, suffix: str, range_: str, /, **labels: MatcherValue) -> Expr:
        """Return how fast the ``_sum`` or ``_count`` of a histogram rises, per second."""
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
        # Replicas agree about Coder, but each speaks for itself of itself.
        self_labels = {"instance"} if family.collector == _SELF_METRICS_COLLECTOR else set[str]()
        summable = family.summable | set(_TARGET_LABELS) | self_labels
        return Expr(f"max by ({', '.join(labels)}) ({text})", labels, summable, text)
