"""Series in promtool's notation, and the models of test cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from insights_exporter.metrics.family import Family

__all__ = [
    "JOB",
    "REPLICAS",
    "TEMPLATE",
    "FiringCase",
    "Scenario",
    "gauge_histogram_series",
    "histogram_series",
    "selector",
    "series",
    "up_series",
]

JOB: Final = "coder-insights"
REPLICAS: Final = ("a:9766", "b:9766")
"""Both serve each series, so that every case shows that replicas are counted once."""

TEMPLATE: Final = {"organization_name": "acme", "template_name": "go-dev"}
_DEFAULT_LABELS: Final = {**TEMPLATE, "username": "ada", "app": "jupyter", "app_type": "app"}

Series = dict[str, str]
"""Values by series; a dictionary rules out duplicates."""


def selector(name: str, labels: Mapping[str, str]) -> str:
    """Return a series in promtool's notation."""
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def series(family: Family, values: str, /, *, suffix: str = "", instance: str = "", **labels: str) -> Series:
    """Return a series of a family for both replicas, or for one.

    Missing labels get defaults; raise ValueError for labels that the family does not have.
    """
    family_labels = (*family.labels, *(("le",) if suffix == "_bucket" else ()))
    if missing := {label for label in family_labels if label not in labels and label not in _DEFAULT_LABELS}:
        raise ValueError(f"Expected values of {', '.join(sorted(missing))} of {family.name}.")
    if unknown := set(labels) - set(family_labels):
        raise ValueError(f"Expected labels of {family.name}, got {', '.join(sorted(unknown))}.")
    series_labels = {label: labels.get(label, _DEFAULT_LABELS.get(label, "")) for label in family_labels}
    return {
        selector(family.name + suffix, {"job": JOB, "instance": replica, **series_labels}): values
        for replica in ((instance,) if instance else REPLICAS)
    }


def up_series(values: str, *, instance: str) -> Series:
    """Return ``up`` of a replica."""
    return {selector("up", {"job": JOB, "instance": instance}): values}


_BOUNDS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


def histogram_series(family: Family, *phases: tuple[int, float], **labels: str) -> Series:
    """Return a histogram with two observations per step; a phase is a number of steps and a value."""
    series_by_name: Series = {}
    for bound in (*_BOUNDS, float("inf")):
        total, parts = 0, []
        for steps, value in phases:
            increment = 2 if value <= bound else 0
            parts.append(f"{total}+{increment}x{steps - 1}")
            total += increment * steps
        le = "+Inf" if bound == float("inf") else repr(bound)
        series_by_name |= series(family, " ".join(parts), suffix="_bucket", le=le, **labels)
    return series_by_name


def gauge_histogram_series(family: Family, *phases: tuple[int, Sequence[float]], **labels: str) -> Series:
    """Return a gauge histogram; a phase is a number of steps and the observed values."""
    series_by_name: Series = {}
    for bound in (*_BOUNDS, float("inf")):
        parts = [f"{sum(value <= bound for value in values)}x{steps - 1}" for steps, values in phases]
        le = "+Inf" if bound == float("inf") else repr(bound)
        series_by_name |= series(family, " ".join(parts), suffix="_bucket", le=le, **labels)
    return series_by_name


@dataclass(frozen=True, kw_only=True)
class FiringCase:
    """Series that fire an alert once, and replacements with which it stays silent at ``firing_at``."""

    alert: str
    firing_series: Series
    near_miss_series: Series
    pending_at: str
    firing_at: str
    resolved_at: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)
    url_variables: str = ""
    step: str = "1m"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One more situation with the labels of all firing instances; empty if the alert stays silent."""

    name: str
    alert: str
    series: Series
    eval_time: str
    firing_labels: tuple[Mapping[str, str], ...] = ()
    step: str = "1m"
