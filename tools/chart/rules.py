"""Turn the generated alert rules into files/rules.yaml, where thresholds are marks that the chart replaces.

`insights-exporter bundle` renders the rules three times: with the defaults, and twice with other thresholds,
all different. Where a number differs, its three values identify the threshold and the form.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import yaml

from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS

__all__ = ["Threshold", "bundle_rules", "rules_with_marks", "thresholds"]

_Form = Callable[[Mapping[str, float]], str]
"""Writes a number out of all thresholds' values."""

_RULES: Final = "alerts/kubernetes/prometheusrule.yaml"
_NUMBER: Final = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_TOKEN: Final = re.compile(rf"(?<![\w.])({_NUMBER})( (?:ms|s|minutes?|hours?|days?)\b)?")
_DAY: Final = 86400
_UNITS: Final = (("day", _DAY), ("hour", 3600), ("minute", 60))
_PROBED_BOUNDS: Final = ((1.0, 5.0, 2.5), (0.5, 0.2, 1.0))
"""Each threshold that is a bucket's bound is once a whole number, as a label shows 1 as "1.0"."""

_EXPONENT_FROM: Final = 1e6
"""Prometheus writes larger bounds with an exponent in the label, which a template of the chart cannot."""

_JOB: Final = 'job="coder-insights"'
_MATCHER: Final = 'probe="matcher"'


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold of the alerts; with ``bounds`` it must be one of these bucket bounds."""

    name: str
    default: float
    unit: str
    bounds: tuple[float, ...]

    @property
    def is_latency_bound(self) -> bool:
        """Whether the threshold is a bound of the latency histograms."""
        return self.bounds == LATENCY_BUCKETS


def thresholds() -> tuple[Threshold, ...]:
    """Return all thresholds with their defaults."""
    defaults = Thresholds()
    return tuple(
        Threshold(
            one.name,
            float(getattr(defaults, one.name)),
            one.metadata["unit"],
            tuple(bound for bound in one.metadata["bounds"] if bound < _EXPONENT_FROM),
        )
        for one in fields(Thresholds)
    )


def bundle_rules(values: Mapping[str, float], *options: str) -> list[dict[str, Any]]:
    """Return the rule groups that `insights-exporter bundle` writes with these thresholds."""
    chosen = [f"--threshold={name}={value!r}" for name, value in values.items()]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "insights_exporter", "bundle", "--output", folder, *chosen, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if done.returncode:
            raise RuntimeError(f"insights-exporter bundle failed: {done.stderr.strip()}")
        document = yaml.safe_load((Path(folder) / _RULES).read_text(encoding="utf-8"))
    groups: list[dict[str, Any]] = document["spec"]["groups"]
    return groups


def rules_with_marks() -> list[dict[str, Any]]:
    """Return the rule groups with marks ``@@form|threshold@@`` in place of numbers that a threshold sets.

    The mark ``@@matchers@@`` stands where selectors take the matchers of a site.

    Raise ValueError where a number changes in a way that the chart cannot compute.
    """
    known = thresholds()
    sets = [{one.name: one.default for one in known}, _probe(known, 0), _probe(known, 1)]
    forms = {mark: [form(values) for values in sets] for mark, form in _forms(known).items()}
    # Recorded series have a job alone, so only the bundle knows where a site's own matchers belong.
    matchers = ("--matcher", _JOB, "--matcher", _MATCHER)
    renderings = [bundle_rules(values, *matchers) for values in ({}, *sets[1:])]
    return [_merge(groups, forms, "") for groups in zip(*renderings, strict=True)]


def _probe(known: tuple[Threshold, ...], turn: int) -> dict[str, float]:
    """Return values that differ from each other and from the defaults."""
    buckets = iter(_PROBED_BOUNDS[turn])
    values: dict[str, float] = {}
    for index, one in enumerate(known):
        if one.is_latency_bound:
            values[one.name] = next(buckets)
        elif one.bounds:
            values[one.name] = one.bounds[1 + turn]
        elif one.unit == "share":
            values[one.name] = round(0.31 + 0.009 * index + 0.055 * turn, 4)
        elif one.unit == "times":
            values[one.name] = round(3.3 + 0.37 * index + 1.7 * turn, 4)
        elif one.unit == "seconds":
            values[one.name] = float(_DAY * (11 + index) if turn else 3600 * (25 + 2 * index))
        else:
            values[one.name] = float(101 + 7 * index + 401 * turn)
    return values


def _forms(known: tuple[Threshold, ...]) -> dict[str, _Form]:
    """Return every form in which thresholds may appear, by its mark."""
    forms: dict[str, _Form] = {}
    for one in known:
        for form, write in _WRITERS.items():
            if one.unit in _UNITS_OF_FORMS.get(form, {one.unit}):
                forms[f"{form}|{one.name}"] = _of_one(one.name, write)
        if one.is_latency_bound:
            forms[f"bound|{one.name}"] = _of_one(one.name, _bucket)
    factors = [one.name for one in known if one.unit == "times"]
    for factor, one in ((factor, one) for factor in factors for one in known):
        if one.unit == "share":
            forms[f"budget|{factor}|{one.name}"] = _budget(factor, one.name)
        if one.is_latency_bound:
            forms[f"bucket|{one.name}|{factor}"] = _reduced_bound(one.name, factor)
    return forms


def _of_one(name: str, write: Callable[[float], str]) -> _Form:
    return lambda values: write(values[name])


def _budget(factor: str, share: str) -> _Form:
    """Return the form of a burn rate: a multiple of what the objective leaves."""
    return lambda values: f"{values[factor] * (1 - values[share]):g}"


def _reduced_bound(name: str, factor: str) -> _Form:
    """Return the form of a bucket's bound that stands for a fraction of a threshold."""
    return lambda values: _bucket(values[name] / values[factor])


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:g} ms"
    for name, length in _UNITS:
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {name}{'s' if seconds > length else ''}"
    return f"{seconds:g} s"


def _bucket(wanted: float) -> str:
    """Return the largest bound of a bucket that is not above the wanted one, as the label shows it."""
    return str(max((bound for bound in LATENCY_BUCKETS if bound <= wanted + 1e-9), default=0.0))


_WRITERS: Final[Mapping[str, Callable[[float], str]]] = {
    "number": "{:g}".format,
    "percent": lambda value: f"{100 * value:g}",
    "percent_whole": lambda value: f"{100 * value:.0f}",
    "complement": lambda value: f"{1 - value:g}",
    "complement_percent": lambda value: f"{100 * (1 - value):.2f}",
    "milliseconds": lambda value: f"{1000 * value:g}",
    "duration": _duration,
    "day_seconds": lambda value: f"{value * _DAY:g}",
}
"""Forms of one threshold; templates/_rules.tpl has the same."""

_UNITS_OF_FORMS: Final[Mapping[str, frozenset[str]]] = {
    "percent": frozenset({"share"}),
    "percent_whole": frozenset({"share"}),
    "complement": frozenset({"share"}),
    "complement_percent": frozenset({"share"}),
    "milliseconds": frozenset({"seconds"}),
    "duration": frozenset({"seconds"}),
    "day_seconds": frozenset({"days"}),
}


def _merge(versions: tuple[Any, ...], forms: Mapping[str, list[str]], place: str) -> Any:
    first = versions[0]
    if isinstance(first, dict):
        name = first.get("alert") or first.get("record") or first.get("name", "")
        return {
            key: _merge(tuple(one[key] for one in versions), forms, f"{place} {name} {key}".strip())
            for key in first
        }
    if isinstance(first, list):
        return [_merge(items, forms, place) for items in zip(*versions, strict=True)]
    return _mark(list(map(str, versions)), forms, place).replace(f"{_JOB}, {_MATCHER}", "@@matchers@@")


def _mark(texts: list[str], forms: Mapping[str, list[str]], place: str) -> str:
    """Return the first text with marks where the others differ."""
    matches = [list(_TOKEN.finditer(text)) for text in texts]
    rest = [list(_between(one, found)) for one, found in zip(texts, matches, strict=True)]
    if any(one != rest[0] for one in rest):
        raise ValueError(f"{place}: more than numbers depends on a threshold: {texts}")
    parts = [rest[0][0]]
    for tokens, after in zip(zip(*matches, strict=True), rest[0][1:], strict=True):
        parts += [_token(tokens, forms, place), after]
    return "".join(parts)


def _between(text: str, matches: list[re.Match[str]]) -> Iterator[str]:
    start = 0
    for match in matches:
        yield text[start : match.start()]
        start = match.end()
    yield text[start:]


def _token(tokens: tuple[re.Match[str], ...], forms: Mapping[str, list[str]], place: str) -> str:
    whole = [one[0] for one in tokens]
    if len(set(whole)) == 1:
        return whole[0]
    for mark, expected in forms.items():
        if whole == expected:
            return f"@@{mark}@@"
        if [one[1] for one in tokens] == expected and len({one[2] for one in tokens}) == 1:
            return f"@@{mark}@@{tokens[0][2] or ''}"
    raise ValueError(
        f"{place}: no threshold gives {whole}; add its form to tools/chart/rules.py and _rules.tpl"
    )
