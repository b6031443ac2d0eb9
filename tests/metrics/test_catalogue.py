"""Declarations of families: unique names, summable labels, rules of OpenMetrics."""

from __future__ import annotations

import pytest

from insights_exporter.metrics.catalogue import APP_HEALTH, FAMILIES, SESSIONS
from insights_exporter.metrics.family import Family, MetricType


def test_family_names_are_unique() -> None:
    names = [family.base_name for family in FAMILIES]

    assert len(set(names)) == len(names)


def test_windows_and_intervals_are_never_summable() -> None:
    summed = {label for family in FAMILIES for label in family.summable}

    assert not summed & {"window", "interval", "ago", "statistic"}


def test_only_counts_are_summable_over_apps() -> None:
    summed = {family.base_name for family in FAMILIES if "app" in family.summable}

    assert summed == {APP_HEALTH.base_name, SESSIONS.base_name}


@pytest.mark.parametrize(
    ("name", "kind", "text", "unit"),
    [
        ("usage_seconds_total", MetricType.GAUGE, "Name without the prefix.", ""),
        ("coder_insights_usage", MetricType.COUNTER, "Counter without its suffix.", ""),
        ("coder_insights_usage", MetricType.GAUGE, "Name without the unit.", "seconds"),
        ("coder_insights_usage", MetricType.GAUGE, "Help without a period", ""),
    ],
)
def test_invalid_declaration_is_rejected(name: str, kind: MetricType, text: str, unit: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Family(name, kind, text, (), unit)
