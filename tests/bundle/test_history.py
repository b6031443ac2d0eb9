"""The history that dashboards are tried on tells of everything, and tells the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family, Kind
from tests.support.history import INSTANCES, History

UNSEEN = {
    catalogue.API_RETRIES: "no request fails",
    catalogue.COLLECTOR_ERRORS: "no collector fails",
    catalogue.OTLP_EXPORTS: "nothing is pushed",
    catalogue.ROWS_DROPPED: "every answer is whole",
}


def _name(family: Family) -> str:
    histogram = family.kind in {Kind.HISTOGRAM, Kind.GAUGE_HISTOGRAM}
    return f"{family.name}_bucket" if histogram else family.name


@pytest.mark.parametrize(
    "family", [one for one in catalogue.FAMILIES if one not in UNSEEN], ids=lambda one: one.name
)
def test_every_family_is_in_the_history(history: History, family: Family) -> None:
    found = history.prometheus.instant(f"count({_name(family)})", history.end)

    assert found


def test_both_replicas_are_scraped(history: History) -> None:
    found = history.prometheus.instant("up == 1", history.end)

    assert {labels["instance"] for labels, _ in found} == set(INSTANCES)


def test_numbers_are_those_of_the_simulated_deployment(history: History) -> None:
    query = 'sum(increase(coder_insights_template_usage_seconds_total{instance=~".+a:9766"}[7d]))'
    (_, ((_, found),)) = history.prometheus.instant(query, history.end)[0]
    world, since = history.deployment.world, history.end - timedelta(days=7)
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    expected = 60 * sum(
        sum(world.report(anchor, end, now=now, templates=frozenset({one.id})).user_minutes.values()) * sign
        for one in world.templates
        for now, end, sign in (
            (history.end, history.end + timedelta(minutes=30), 1),
            (since, since + timedelta(minutes=30), -1),
        )
    )

    assert found == pytest.approx(expected, rel=0.001)
