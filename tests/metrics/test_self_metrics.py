"""Self metrics: the families of the catalogue, live from the first scrape on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import EOF, Format
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.self_metrics import SelfMetrics
from tests.support.exposition_parsing import parse_families, parse_series, promtool_check
from tests.support.telemetry_events import EVENT_TIME, record_every_event


def populated_metrics() -> SelfMetrics:
    """Return self metrics after one event of each kind."""
    metrics = SelfMetrics(poll_interval=300, process=False)
    record_every_event(metrics)
    return metrics


def served_value(metrics: SelfMetrics, family: Family, *labels: str, suffix: str = "") -> float | None:
    """Return the served value of a series."""
    key = family.name + suffix, frozenset(zip(family.labels, labels, strict=True))
    return parse_series(metrics.encode(Format.OPENMETRICS) + EOF).get(key)


def test_name_type_help_and_unit_match_the_catalogue() -> None:
    served = parse_families(populated_metrics().encode(Format.OPENMETRICS) + EOF, Format.OPENMETRICS)

    assert sorted(
        (family.name, family.type, family.documentation, family.unit) for family in served
    ) == sorted(
        (family.base_name, family.type, family.help, family.unit) for family in catalogue.EXPORTER_FAMILIES
    )


@pytest.mark.parametrize("family", catalogue.EXPORTER_FAMILIES, ids=lambda family: family.base_name)
def test_labels_match_the_catalogue(family: Family) -> None:
    (served,) = [
        metric
        for metric in parse_families(populated_metrics().encode(Format.OPENMETRICS) + EOF, Format.OPENMETRICS)
        if metric.name == family.base_name
    ]

    assert served.samples
    assert all(sample.labels.keys() - {"le"} == set(family.labels) for sample in served.samples)


def test_promtool_accepts_self_metrics() -> None:
    metrics = SelfMetrics(poll_interval=300)
    record_every_event(metrics)

    assert promtool_check(metrics.encode(Format.TEXT)) == ""


def test_lines_equal_prometheus_client_except_for_order() -> None:
    metrics = populated_metrics()
    openmetrics: bytes = generate_openmetrics(metrics._instruments.registry)  # type: ignore[no-untyped-call]  # Ships no types.

    assert sorted(metrics.encode(Format.TEXT).splitlines()) == sorted(
        generate_latest(metrics._instruments.registry).splitlines()
    )
    assert sorted((metrics.encode(Format.OPENMETRICS) + EOF).splitlines()) == sorted(openmetrics.splitlines())


def test_scrapes_show_current_values() -> None:
    metrics = populated_metrics()
    before = served_value(metrics, catalogue.RATE_LIMIT_WAIT), served_value(metrics, catalogue.SCRAPES, "200")
    metrics.rate_limit_waited(1.0)
    metrics.scrape_finished(200, 0.001)

    assert before == (1.5, 1)
    assert served_value(metrics, catalogue.RATE_LIMIT_WAIT) == 2.5
    assert served_value(metrics, catalogue.SCRAPES, "200") == 2


def test_counters_start_at_zero() -> None:
    metrics = SelfMetrics(poll_interval=300, process=False)

    assert served_value(metrics, catalogue.POLLS, "failed") == 0
    assert served_value(metrics, catalogue.SCRAPES, "200") == 0
    assert served_value(metrics, catalogue.RATE_LIMIT_WAIT) == 0
    assert served_value(metrics, catalogue.COUNTER_CORRECTIONS) == 0
    assert served_value(metrics, catalogue.POLL_INTERVAL) == 300


def test_values_match_events_and_persist_across_scrapes() -> None:
    metrics = populated_metrics()
    record_every_event(metrics)
    for _ in range(2):
        assert served_value(metrics, catalogue.POLLS, "ok") == 2
        assert served_value(metrics, catalogue.API_REQUESTS, "/insights/templates", "200") == 2
        assert served_value(metrics, catalogue.RATE_LIMIT_WAIT) == 3.0
        assert served_value(metrics, catalogue.COLLECTOR_SUCCESS, "insights") == 1
        assert served_value(metrics, catalogue.COLLECTOR_SUCCESS, "inventory") == 0
        assert served_value(metrics, catalogue.LAST_SUCCESS, "insights") == EVENT_TIME.timestamp()
        assert served_value(metrics, catalogue.LAST_SUCCESS, "inventory") is None
        assert served_value(metrics, catalogue.PERMISSION, "template", "view_insights") == 1
        assert served_value(metrics, catalogue.COLLECTOR_DURATION, "insights", suffix="_sum") == 3.0


def test_api_time_ratio_is_request_time_of_last_poll_per_interval() -> None:
    metrics = SelfMetrics(poll_interval=60, process=False)
    before = served_value(metrics, catalogue.API_TIME_RATIO)
    metrics.config_applied(poll_interval=300, max_api_time_ratio=0.1)
    ratios = []
    for request_seconds in ([30.0, 45.0], [15.0], []):
        for seconds in request_seconds:
            metrics.request_finished("/insights/templates", "200", seconds)
        metrics.poll_finished("ok", 40.0)
        ratios.append(served_value(metrics, catalogue.API_TIME_RATIO))

    assert before is None
    assert ratios == [0.25, 0.05, 0.0]


def test_removed_series_disappear() -> None:
    metrics = populated_metrics()
    metrics.token_expiry_updated(None)
    metrics.exposition_rendered({catalogue.AGENTS.name: 1}, {catalogue.AGENTS.name: 0}, {"text": 1})

    assert served_value(metrics, catalogue.TOKEN_EXPIRY) is None
    assert served_value(metrics, catalogue.SERIES, catalogue.USERS.name) is None
    assert served_value(metrics, catalogue.SERIES, catalogue.AGENTS.name) == 1


def test_failed_reload_keeps_last_success_timestamp() -> None:
    metrics = populated_metrics()
    metrics.config_reloaded(success=False, at=datetime(2027, 1, 1, tzinfo=UTC))

    assert served_value(metrics, catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL) == 0
    assert served_value(metrics, catalogue.CONFIG_LAST_RELOAD_TIMESTAMP) == EVENT_TIME.timestamp()


def test_process_metrics_are_served() -> None:
    names = {
        family.name
        for family in parse_families(SelfMetrics(poll_interval=1).encode(Format.TEXT), Format.TEXT)
    }

    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= names


def test_two_exporters_in_one_process_share_no_state() -> None:
    populated_metrics()

    assert served_value(SelfMetrics(poll_interval=300, process=False), catalogue.POLLS, "ok") == 0
