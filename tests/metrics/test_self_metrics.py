"""The exporter's own metrics are those of the catalogue, live from the first scrape on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.naming import instrument_name
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.metrics.text import END, Format
from insights_exporter.telemetry import Telemetry
from tests.support.expositions import checked_by_promtool, parsed, series

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)


def busy() -> SelfMetrics:
    """Return metrics to which everything happened once."""
    metrics = SelfMetrics(poll_interval=300, process=False)
    happen(metrics)
    return metrics


def happen(telemetry: Telemetry) -> None:
    """Let everything happen once."""
    telemetry.request_finished("/insights/templates", "200", 0.05)
    telemetry.retried("/insights/templates", "timeout")
    telemetry.rate_limit_waited(1.5)
    telemetry.rows_dropped("/insights/templates", 2, "a name is missing")
    telemetry.version_seen("v2.26.0")
    telemetry.poll_finished("ok", 2.5)
    telemetry.collector_finished("insights", 1.5, success=True, at=NOW)
    telemetry.collector_finished("inventory", 1.5, success=False, at=NOW)
    telemetry.collector_error("inventory", "forbidden")
    telemetry.permission("template", "view_insights", granted=True)
    telemetry.token_expiry(NOW)
    telemetry.counters_corrected(3)
    telemetry.rendered(
        {catalogue.USERS.name: 3}, {catalogue.USERS.name: 0}, {"text": 100, "openmetrics": 120}
    )
    telemetry.scraped(200, 0.002)
    telemetry.reloaded(success=True, at=NOW)
    telemetry.agent_rows("counted", 7)
    telemetry.agent_lag(12.5)
    telemetry.exported("ok")


def value(metrics: SelfMetrics, family: Family, *labels: str, suffix: str = "") -> float | None:
    """Return a number as served."""
    key = family.name + suffix, frozenset(zip(family.labels, labels, strict=True))
    return series(metrics.text(Format.OPENMETRICS) + END).get(key)


def test_every_family_is_served_with_the_catalogues_name_type_help_and_unit() -> None:
    served = parsed(busy().text(Format.OPENMETRICS) + END, Format.OPENMETRICS)

    assert sorted(
        (family.name, family.type, family.documentation, family.unit) for family in served
    ) == sorted(
        (family.stem, family.kind, family.help, family.unit) for family in catalogue.EXPORTER_FAMILIES
    )


@pytest.mark.parametrize("family", catalogue.EXPORTER_FAMILIES, ids=lambda family: family.stem)
def test_samples_have_exactly_the_catalogues_labels(family: Family) -> None:
    (served,) = [
        metric
        for metric in parsed(busy().text(Format.OPENMETRICS) + END, Format.OPENMETRICS)
        if metric.name == family.stem
    ]

    assert served.samples
    assert all(sample.labels.keys() - {"le"} == set(family.labels) for sample in served.samples)


def test_promtool_finds_nothing_wrong() -> None:
    metrics = SelfMetrics(poll_interval=300)
    happen(metrics)

    assert checked_by_promtool(metrics.text(Format.TEXT)) == ""


def test_the_bytes_are_those_of_prometheus_client_but_for_the_order() -> None:
    metrics = busy()
    openmetrics: bytes = generate_openmetrics(metrics._all.registry)  # type: ignore[no-untyped-call]  # Ships no types.

    assert sorted(metrics.text(Format.TEXT).splitlines()) == sorted(
        generate_latest(metrics._all.registry).splitlines()
    )
    assert sorted((metrics.text(Format.OPENMETRICS) + END).splitlines()) == sorted(openmetrics.splitlines())


def test_a_scrape_shows_what_happened_since_the_one_before() -> None:
    metrics = busy()
    before = value(metrics, catalogue.RATE_LIMIT_WAIT), value(metrics, catalogue.SCRAPES, "200")
    metrics.rate_limit_waited(1.0)
    metrics.scraped(200, 0.001)

    assert before == (1.5, 1)
    assert value(metrics, catalogue.RATE_LIMIT_WAIT) == 2.5
    assert value(metrics, catalogue.SCRAPES, "200") == 2


def test_counters_stand_at_zero_before_anything_happens() -> None:
    metrics = SelfMetrics(poll_interval=300, process=False)

    assert value(metrics, catalogue.POLLS, "failed") == 0
    assert value(metrics, catalogue.SCRAPES, "200") == 0
    assert value(metrics, catalogue.RATE_LIMIT_WAIT) == 0
    assert value(metrics, catalogue.COUNTER_CORRECTIONS) == 0
    assert value(metrics, catalogue.POLL_INTERVAL) == 300


def test_numbers_are_what_happened_and_stay_from_scrape_to_scrape() -> None:
    metrics = busy()
    happen(metrics)
    for _ in range(2):
        assert value(metrics, catalogue.POLLS, "ok") == 2
        assert value(metrics, catalogue.API_REQUESTS, "/insights/templates", "200") == 2
        assert value(metrics, catalogue.RATE_LIMIT_WAIT) == 3.0
        assert value(metrics, catalogue.COLLECTOR_SUCCESS, "insights") == 1
        assert value(metrics, catalogue.COLLECTOR_SUCCESS, "inventory") == 0
        assert value(metrics, catalogue.LAST_SUCCESS, "insights") == NOW.timestamp()
        assert value(metrics, catalogue.LAST_SUCCESS, "inventory") is None
        assert value(metrics, catalogue.PERMISSION, "template", "view_insights") == 1
        assert value(metrics, catalogue.COLLECTOR_DURATION, "insights", suffix="_sum") == 3.0


def test_what_ended_is_no_longer_told() -> None:
    metrics = busy()
    metrics.token_expiry(None)
    metrics.rendered({catalogue.AGENTS.name: 1}, {catalogue.AGENTS.name: 0}, {"text": 1})

    assert value(metrics, catalogue.TOKEN_EXPIRY) is None
    assert value(metrics, catalogue.SERIES, catalogue.USERS.name) is None
    assert value(metrics, catalogue.SERIES, catalogue.AGENTS.name) == 1


def test_a_failed_reload_keeps_the_time_of_the_last_good_one() -> None:
    metrics = busy()
    metrics.reloaded(success=False, at=datetime(2027, 1, 1, tzinfo=UTC))

    assert value(metrics, catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL) == 0
    assert value(metrics, catalogue.CONFIG_LAST_RELOAD_TIMESTAMP) == NOW.timestamp()


def test_the_process_is_served_along_as_every_prometheus_client_does() -> None:
    names = {family.name for family in parsed(SelfMetrics(poll_interval=1).text(Format.TEXT), Format.TEXT)}

    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= names


def test_other_readers_see_the_same_signals() -> None:
    reader = InMemoryMetricReader()
    happen(SelfMetrics(poll_interval=300, readers=[reader], process=False))
    data = reader.get_metrics_data()

    assert data is not None
    assert {
        metric.name
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    } == {instrument_name(family) for family in catalogue.EXPORTER_FAMILIES}


def test_two_exporters_in_one_process_do_not_share_numbers() -> None:
    busy()

    assert value(SelfMetrics(poll_interval=300, process=False), catalogue.POLLS, "ok") == 0
