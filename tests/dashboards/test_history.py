"""The recorded history contains every family, and its usage equals that of the simulated deployment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family, MetricType
from tests.support.history import INSTANCES, History

ABSENT_FAMILIES = {
    catalogue.API_RETRIES: "no request fails",
    catalogue.COLLECTOR_ERRORS: "no collector fails",
    catalogue.OTLP_EXPORTS: "nothing is pushed",
    catalogue.OTLP_EXPORT_ERRORS: "nothing is pushed",
    catalogue.ROWS_DROPPED: "every answer is whole",
}


def _series_name(family: Family) -> str:
    histogram = family.type in {MetricType.HISTOGRAM, MetricType.GAUGE_HISTOGRAM}
    return f"{family.name}_bucket" if histogram else family.name


@pytest.mark.parametrize(
    "family", [one for one in catalogue.FAMILIES if one not in ABSENT_FAMILIES], ids=lambda one: one.name
)
def test_every_family_is_in_the_history(history: History, family: Family) -> None:
    samples = history.prometheus.query(f"count({_series_name(family)})", history.end)

    assert samples


def test_both_replicas_are_scraped(history: History) -> None:
    samples = history.prometheus.query("up == 1", history.end)

    assert {labels["instance"] for labels, _ in samples} == set(INSTANCES)


def test_usage_equals_the_simulated_deployment(history: History) -> None:
    # Prometheus 3 excludes a sample at the start of a range; one second more includes it in both versions.
    query = 'sum(increase(coder_insights_template_usage_seconds_total{instance=~".+a:9766"}[604801s]))'
    (_, ((_, exported),)) = history.prometheus.query(query, history.end)[0]
    world, since = history.deployment.world, history.end - timedelta(days=7)
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    expected = 60 * sum(
        sum(world.rollup(anchor, end, now=now, templates=frozenset({template.id})).user_minutes.values())
        * sign
        for template in world.templates
        for now, end, sign in (
            (history.end, history.end + timedelta(minutes=30), 1),
            (since, since + timedelta(minutes=30), -1),
        )
    )

    assert exported == pytest.approx(expected, rel=0.001)
