"""Declarations that an exposition can carry."""

from __future__ import annotations

import pytest

from insights_exporter.metrics.catalogue import APP_HEALTH, FAMILIES, SESSIONS
from insights_exporter.metrics.family import Family, Kind


def test_no_family_is_declared_twice_even_in_openmetrics() -> None:
    stems = [family.stem for family in FAMILIES]

    assert len(set(stems)) == len(stems)


def test_a_sum_over_windows_or_intervals_is_never_legal() -> None:
    summed = {label for family in FAMILIES for label in family.summable}

    assert not summed & {"window", "interval", "ago", "statistic"}


def test_times_of_apps_overlap_so_only_counts_of_things_may_be_summed_over_apps() -> None:
    summed = {family.stem for family in FAMILIES if "app" in family.summable}

    assert summed == {APP_HEALTH.stem, SESSIONS.stem}


@pytest.mark.parametrize(
    ("name", "kind", "text", "unit"),
    [
        ("usage_seconds_total", Kind.GAUGE, "A prefix is missing.", ""),
        ("coder_insights_usage", Kind.COUNTER, "A counter ends in its suffix.", ""),
        ("coder_insights_usage", Kind.GAUGE, "A name carries its unit.", "seconds"),
        ("coder_insights_usage", Kind.GAUGE, "Help is a sentence", ""),
    ],
)
def test_a_declaration_that_cannot_be_served_is_refused(name: str, kind: Kind, text: str, unit: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        Family(name, kind, text, (), unit)
