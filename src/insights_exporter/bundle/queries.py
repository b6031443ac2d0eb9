"""PromQL, built out of the catalogue's families.

Every replica of the exporter serves the same series, so each query first keeps one of them: ``latest``,
``rate`` and ``increase`` return each series once, with the family's labels and ``job``, which tells apart
several deployments of Coder. Only then may one sum, and only over labels for which that means something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from insights_exporter.metrics.family import Family, Kind

__all__ = ["HOUSE", "Labels", "Match", "Scope", "Vector", "but", "like", "share", "unlike"]

HOUSE: Final = ('job=~"$job"', 'instance=~"$instance"')
"""The matchers that every query of a dashboard carries."""

_OF_TARGET: Final = ("job",)
_OWN: Final = "exporter"
_HISTOGRAMS: Final = (Kind.HISTOGRAM, Kind.GAUGE_HISTOGRAM)


@dataclass(frozen=True, slots=True)
class Match:
    """How a label is matched: an operator of PromQL and what stands behind it; ``never`` is left out."""

    operator: str
    value: str
    never: str = ""

    def but(self, value: str) -> Match:
        """Match the same without one value."""
        return replace(self, never=value)

    def of(self, label: str) -> str:
        """Return the matchers as PromQL has them."""
        never = f', {label}!="{self.never}"' if self.never else ""
        return f'{label}{self.operator}"{self.value}"{never}'


Labels = str | Match
"""What a label is matched by; a string stands for equality."""


def like(pattern: str) -> Match:
    """Match a regular expression."""
    return Match("=~", pattern)


def unlike(pattern: str) -> Match:
    """Match what a regular expression does not."""
    return Match("!~", pattern)


def but(value: str) -> Match:
    """Match anything but one value."""
    return Match("!=", value)


@dataclass(frozen=True, slots=True)
class Vector:
    """An expression, the labels of its result, and over which of them a sum means something.

    ``inner`` is what the expression is the largest of, so that a second maximum need not wrap the first.
    """

    text: str
    labels: tuple[str, ...]
    summable: frozenset[str]
    inner: str = ""

    def __str__(self) -> str:
        """Return the PromQL."""
        return self.text

    def sum(self, *by: str) -> Vector:
        """Add up over all other labels; raise ValueError where that would count something twice."""
        if wrong := set(self.labels) - set(by) - self.summable - set(_OF_TARGET):
            raise ValueError(f"Expected no sum over {', '.join(sorted(wrong))} in {self.text}.")
        return self._aggregated("sum", by)

    def max(self, *by: str) -> Vector:
        """Keep the largest over all other labels."""
        return self._aggregated("max", by, self.inner or self.text)

    def avg(self, *by: str) -> Vector:
        """Take the mean over all other labels."""
        return self._aggregated("avg", by)

    def count(self, *by: str) -> Vector:
        """Count over all other labels."""
        return self._aggregated("count", by)

    def topk(self, number: int | str) -> Vector:
        """Keep the largest few."""
        return replace(self, text=f"topk({number}, {self.text})", inner="")

    def of(self, function: str, *after: str) -> Vector:
        """Apply a function that keeps labels."""
        return replace(self, text=f"{function}({', '.join((self.text, *after))})", inner="")

    def having(self, other: Vector | str, *on: str) -> Vector:
        """Keep what another expression has, too."""
        return replace(self, text=f"({self.text} and on ({', '.join(on)}) {other})", inner="")

    def lacking(self, other: Vector | str, *on: str) -> Vector:
        """Keep what another expression has not."""
        return replace(self, text=f"({self.text} unless on ({', '.join(on)}) {other})", inner="")

    def otherwise(self, other: Vector) -> Vector:
        """Keep this, or another expression where this finds nothing at all."""
        return replace(self, text=f"({self.text} or ({other.text} unless on () {self.text}))", inner="")

    def times(self, factor: str) -> Vector:
        """Apply an operator and a scalar, as in ``* 100``."""
        return replace(self, text=f"({self.text} {factor})", inner="")

    def named(self, info: Vector, *names: str) -> Vector:
        """Add labels out of an info family that shares labels with this; what has no info stays as it is.

        Replicas may disagree about a name for a moment, so one of the infos is kept.
        """
        on, new = ", ".join(label for label in self.labels if label in info.labels), ", ".join(names)
        one = f"topk by ({on}) (1, {info.inner or info.text})"
        text = f"({self.text} * on ({on}) group_left ({new}) {one} or ignoring ({new}) {self.text})"
        return replace(self, text=text, labels=(*self.labels, *names), inner="")

    def labelled(self, label: str, *sources: str) -> Vector:
        """Add a label that holds the last of some labels that is not empty."""
        text = self.text
        for source in sources:
            text = f'label_replace({text}, "{label}", "$1", "{source}", "(.+)")'
        return replace(self, text=text, labels=(*self.labels, label), inner="")

    def share_of_all(self, *by: str) -> Vector:
        """Divide by the sum within each group, even where times overlap: a bar's share of what is shown."""
        text = f"{self.text} / on ({', '.join(by)}) group_left () sum by ({', '.join(by)}) ({self.text})"
        return replace(self, text=f"({text})", summable=frozenset(), inner="")

    def _aggregated(self, operator: str, by: tuple[str, ...], text: str = "") -> Vector:
        if unknown := set(by) - set(self.labels):
            raise ValueError(f"Expected labels of {self.text}, found {', '.join(sorted(unknown))}.")
        grouping = f" by ({', '.join(by)}) " if by else ""
        return Vector(f"{operator}{grouping}({text or self.text})", by, self.summable & set(by))


def share(part: Vector | str, whole: Vector | str) -> str:
    """Return a ratio that is absent instead of NaN where the whole is 0."""
    return f"{part} / ({whole} > 0)"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where series are looked for: matchers that every selector carries.

    ``target`` holds the labels by which targets are told apart; with ``instance`` among them, each replica
    of the exporter stands for itself.
    """

    matchers: tuple[str, ...] = ()
    target: tuple[str, ...] = ("job",)

    def select(self, family: Family, /, **labels: Labels) -> str:
        """Return a selector; raise ValueError for a label that the family does not have."""
        return self._select(family, labels)

    def latest(self, family: Family, /, **labels: Labels) -> Vector:
        """Return what a family says now; labels that are matched by one value are left out."""
        return self._once(family, self._select(family, labels), labels)

    def at(self, family: Family, offset: str, /, **labels: Labels) -> Vector:
        """Return what a family said some time ago."""
        return self._once(family, f"{self._select(family, labels)} offset {offset}", labels)

    def forecast(self, family: Family, over: str, ahead: str, /, **labels: Labels) -> Vector:
        """Return where a gauge is heading: its straight line over a range, some seconds ahead."""
        return self._once(family, f"predict_linear({self._select(family, labels)}[{over}], {ahead})", labels)

    def over(self, function: str, family: Family, over: str, /, **labels: Labels) -> Vector:
        """Apply a function over a range, such as ``7d`` or, ended earlier, ``7d offset 1d``."""
        length, _, offset = over.partition(" ")
        ranged = f"{self._select(family, labels)}[{length}]{f' {offset}' if offset else ''}"
        return self._once(family, f"{function}({ranged})", labels)

    def rate(self, family: Family, over: str = "$__rate_interval", /, **labels: Labels) -> Vector:
        """Return how fast a counter rises, per second."""
        return self.over("rate", family, over, **labels)

    def increase(self, family: Family, over: str = "$__range", /, **labels: Labels) -> Vector:
        """Return by how much a counter rose."""
        return self.over("increase", family, over, **labels)

    def buckets(self, family: Family, over: str = "", /, **labels: Labels) -> Vector:
        """Return the cumulative buckets as they stand, or how fast they rise where ``over`` is given."""
        selector = self._select(family, labels, "_bucket")
        return self._once(family, f"rate({selector}[{over}])" if over else selector, labels, "le")

    def grown(self, family: Family, over: str, /, **labels: Labels) -> Vector:
        """Return by how much cumulative buckets rose."""
        return self._once(
            family, f"increase({self._select(family, labels, '_bucket')}[{over}])", labels, "le"
        )

    def part(self, family: Family, suffix: str, over: str, /, **labels: Labels) -> Vector:
        """Return how fast the ``_sum`` or ``_count`` of a histogram rises, per second."""
        return self._once(family, f"rate({self._select(family, labels, suffix)}[{over}])", labels)

    def _select(self, family: Family, labels: Mapping[str, Labels], suffix: str = "") -> str:
        if suffix and family.kind not in _HISTOGRAMS:
            raise ValueError(f"Expected a histogram, found {family.name}.")
        known = {*family.labels, *(("le",) if suffix == "_bucket" else ())}
        if unknown := set(labels) - known:
            raise ValueError(f"Expected labels of {family.name}, found {', '.join(sorted(unknown))}.")
        matches = {k: v if isinstance(v, Match) else Match("=", v) for k, v in labels.items()}
        own = (match.of(name) for name, match in matches.items())
        return f"{family.name}{suffix}{{{', '.join((*self.matchers, *own))}}}"

    def _once(self, family: Family, text: str, matched: Mapping[str, Labels], *more: str) -> Vector:
        pinned = {name for name, match in matched.items() if isinstance(match, str)}
        labels = (*self.target, *(name for name in (*family.labels, *more) if name not in pinned))
        # Replicas agree about Coder, but each speaks for itself of itself.
        own = {"instance"} if family.collector == _OWN else set[str]()
        summable = family.summable | set(_OF_TARGET) | own
        return Vector(f"max by ({', '.join(labels)}) ({text})", labels, summable, text)
