"""Pushed points: the same series, values and start times as in a scrape."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_full_name

from insights_exporter.config.settings import LimitSettings, OtlpProtocol, OtlpSettings
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import EOF, Format
from insights_exporter.metrics.family import PREFIX, Family, MetricType
from insights_exporter.metrics.instruments import instrument_name, instrument_unit
from insights_exporter.metrics.self_metrics import SelfMetrics
from tests.support.exposition_parsing import parse_families, parse_series
from tests.support.otlp_pusher import START_TIME, otlp_pusher_harness
from tests.support.otlp_receiver import HttpReceiver, grpc_receiver, http_receiver, translate_to_prometheus
from tests.support.snapshots import rich_snapshot
from tests.support.telemetry_events import record_every_event

DEFAULT_LIMITS = LimitSettings()
SNAPSHOT = rich_snapshot(templates=3, users=5)


async def scrape_and_push(limits: LimitSettings = DEFAULT_LIMITS) -> tuple[bytes, HttpReceiver]:
    """Return the exposition and the receiver of the push of one snapshot."""
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(OtlpSettings(endpoint=fake_receiver.address), limits=limits) as harness,
    ):
        await harness.publish(SNAPSHOT)
        return harness.exposition.body(Format.OPENMETRICS, gzip=False), fake_receiver


@pytest.mark.parametrize(
    "limits",
    [
        LimitSettings(),
        LimitSettings(series_per_family=20),
        LimitSettings(families={catalogue.USER_INFO.name: 0}, label_value_length=16),
    ],
    ids=["default", "folded", "truncated"],
)
async def test_pushed_series_equal_scraped_series(limits: LimitSettings) -> None:
    body, pushed = await scrape_and_push(limits)
    served = {key: value for key, value in parse_series(body).items() if not key[0].endswith("_created")}

    assert translate_to_prometheus(pushed.requests).series == served


async def test_start_times_equal_created_series() -> None:
    body, pushed = await scrape_and_push()
    created = {
        (name.removesuffix("_created"), labels): value
        for (name, labels), value in parse_series(body).items()
        if name.endswith("_created")
    }
    start_times = {
        (name.removesuffix("_total").removesuffix("_count"), labels): start_time
        for (name, labels), start_time in translate_to_prometheus(pushed.requests).start_times.items()
        if name.endswith(("_total", "_count"))
    }

    assert created
    assert {key: start_times[key] for key in created} == created
    assert {name for name, _ in start_times} - {name for name, _ in created} <= {
        family.base_name for family in catalogue.EXPORTER_FAMILIES
    }


async def test_histogram_start_time_is_the_accumulators() -> None:
    _, pushed = await scrape_and_push()
    assert SNAPSHOT.agent_stats is not None
    start_times = translate_to_prometheus(pushed.requests).start_times

    assert {
        start_time
        for (name, _), start_time in start_times.items()
        if name.startswith(catalogue.CONNECTION_LATENCY.name)
    } == {SNAPSHOT.agent_stats.value.since.timestamp()}


async def test_gauges_have_no_start_time() -> None:
    _, pushed = await scrape_and_push()
    cumulative = {family.name for family in catalogue.FAMILIES if family.type is MetricType.COUNTER}
    cumulative |= {
        family.name + suffix
        for family in catalogue.FAMILIES
        if family.type is MetricType.HISTOGRAM
        for suffix in ("_bucket", "_count", "_sum")
    }

    names = {name for name, _ in translate_to_prometheus(pushed.requests).start_times}

    assert {catalogue.USER_ACTIVITY.name, f"{catalogue.CONNECTION_LATENCY.name}_count"} <= names <= cumulative


async def test_all_points_of_a_push_share_one_timestamp() -> None:
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(OtlpSettings(endpoint=fake_receiver.address)) as harness,
    ):
        await harness.publish(SNAPSHOT)
        now = harness.clock.now()

    assert translate_to_prometheus(fake_receiver.requests).timestamps == {int(now.timestamp()) * 10**9}


async def test_pushed_self_metrics_equal_scraped_ones() -> None:
    metrics = SelfMetrics(poll_interval=300, process=False)
    record_every_event(metrics)
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(
            OtlpSettings(endpoint=fake_receiver.address), self_metrics=metrics.samples
        ) as harness,
    ):
        await harness.publish(
            replace(SNAPSHOT, insights=None, inventory=None, deployment=None, agent_stats=None)
        )
    pushed = translate_to_prometheus(fake_receiver.requests)

    assert pushed.series == parse_series(metrics.encode(Format.OPENMETRICS) + EOF)
    assert set(pushed.start_times.values()) == {START_TIME.timestamp()}


async def test_help_and_unit_equal_the_exposition() -> None:
    body, pushed = await scrape_and_push()
    received = translate_to_prometheus(pushed.requests)
    units = {"seconds": "s", "bytes": "By", "": ""}
    families = {
        (family.name + "_total" if family.type == "counter" else family.name): family
        for family in parse_families(body, Format.OPENMETRICS)
        if family.type not in {"gaugehistogram", "info"}
    }

    assert catalogue.USER_ACTIVITY.name in families
    assert {name: (received.help[name], received.units[name]) for name in families} == {
        name: (family.documentation, units[family.unit]) for name, family in families.items()
    }


async def test_grpc_and_http_push_the_same_series() -> None:
    with grpc_receiver() as grpc:
        settings = OtlpSettings(endpoint=grpc.address, protocol=OtlpProtocol.GRPC)
        async with otlp_pusher_harness(settings) as harness:
            await harness.publish(SNAPSHOT)
        body, pushed = await scrape_and_push()

    assert translate_to_prometheus(grpc.requests).series == translate_to_prometheus(pushed.requests).series
    assert body == harness.exposition.body(Format.OPENMETRICS, gzip=False)


async def test_start_time_is_never_after_the_push() -> None:
    """The start time may come from the database's clock, which may be ahead."""
    assert SNAPSHOT.agent_stats is not None
    stats_ahead = replace(SNAPSHOT.agent_stats.value, since=datetime(2026, 1, 14, 10, 21, tzinfo=UTC))
    snapshot = replace(SNAPSHOT, agent_stats=replace(SNAPSHOT.agent_stats, value=stats_ahead))
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(OtlpSettings(endpoint=fake_receiver.address)) as harness,
    ):
        await harness.publish(snapshot)
    received = translate_to_prometheus(fake_receiver.requests)

    assert max(received.start_times.values()) <= min(received.timestamps) / 1e9


NAME_PARTS = st.lists(st.text("abtu01", min_size=1, max_size=5), min_size=1, max_size=4).map("_".join)


@given(
    NAME_PARTS,
    st.sampled_from([MetricType.COUNTER, MetricType.GAUGE, MetricType.HISTOGRAM, MetricType.INFO]),
    st.sampled_from(["", "seconds", "bytes"]),
    st.booleans(),
)
def test_instrument_names_translate_back_to_family_names(
    name_parts: str,
    metric_type: MetricType,
    unit: str,
    is_self_metric: bool,  # noqa: FBT001 - a test parameter.
) -> None:
    prefix = PREFIX + ("exporter_" if is_self_metric else "") + name_parts
    unit = "" if metric_type is MetricType.INFO else unit
    suffix = {MetricType.COUNTER: "_total", MetricType.INFO: "_info"}.get(metric_type, "")
    family = Family(
        f"{prefix}_{unit}{suffix}" if unit else prefix + suffix, metric_type, "A help.", unit=unit
    )

    name = sanitize_full_name(instrument_name(family))
    translated_unit = map_unit(instrument_unit(family))
    # The unit rule of the library's Prometheus exporter.
    name += f"_{translated_unit}" if translated_unit and not name.endswith(f"_{translated_unit}") else ""

    assert name + ("_total" if metric_type is MetricType.COUNTER else "") == family.name


def test_names_contain_no_unit_or_suffix_words() -> None:
    """Translations written in Go append no unit that is a word of the name already, and move ``total``."""
    for family in catalogue.FAMILIES:
        words = sanitize_full_name(instrument_name(family)).split("_")

        assert map_unit(instrument_unit(family)) not in words
        assert "total" not in words
        assert "ratio" not in words[:-1]


def test_names_are_lower_case_and_dotted() -> None:
    for family in catalogue.FAMILIES:
        assert instrument_name(family).startswith("coder.insights.")
        assert instrument_name(family) == instrument_name(family).lower()
