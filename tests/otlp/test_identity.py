"""What is pushed is what the page says: every series, its labels, its number and its beginning."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_full_name

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import PREFIX, Family, Kind
from insights_exporter.metrics.naming import instrument_name, instrument_unit
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.metrics.text import END, Format
from insights_exporter.settings import LimitSettings, OtlpProtocol, OtlpSettings
from tests.metrics.test_self_metrics import happen
from tests.support.expositions import parsed, series
from tests.support.otlp import Receiver, grpc_receiver, receiver, translated
from tests.support.pushing import BEGAN, pushing
from tests.support.snapshots import rich_snapshot

SNAPSHOT = rich_snapshot(templates=3, users=5)


async def both(limits: LimitSettings = LimitSettings()) -> tuple[bytes, Receiver]:  # noqa: B008 - it is frozen.
    """Return a page and what was pushed beside it."""
    async with receiver() as one, pushing(OtlpSettings(endpoint=one.address), limits=limits) as pair:
        await pair.publish(SNAPSHOT)
        return pair.exposition.page(Format.OPENMETRICS, gzip=False), one


@pytest.mark.parametrize(
    "limits",
    [
        LimitSettings(),
        LimitSettings(series_per_family=20),
        LimitSettings(families={catalogue.USER_INFO.name: 0}, label_value_length=5),
    ],
    ids=["whole", "folded", "cut"],
)
async def test_every_series_is_the_same_both_ways(limits: LimitSettings) -> None:
    page, pushed = await both(limits)
    served = {key: value for key, value in series(page).items() if not key[0].endswith("_created")}

    assert translated(pushed.requests).series == served


async def test_what_accumulates_began_when_the_page_says() -> None:
    page, pushed = await both()
    created = {
        (name.removesuffix("_created"), labels): value
        for (name, labels), value in series(page).items()
        if name.endswith("_created")
    }
    began = {
        (name.removesuffix("_total").removesuffix("_count"), labels): at
        for (name, labels), at in translated(pushed.requests).began.items()
        if name.endswith(("_total", "_count"))
    }

    assert created
    assert {key: began[key] for key in created} == created
    assert {name for name, _ in began} - {name for name, _ in created} <= {
        one.stem for one in catalogue.EXPORTER_FAMILIES
    }


async def test_histograms_began_when_counting_of_reports_did() -> None:
    _, pushed = await both()
    assert SNAPSHOT.agent_stats is not None
    began = translated(pushed.requests).began

    assert {at for (name, _), at in began.items() if name.startswith(catalogue.CONNECTION_LATENCY.name)} == {
        SNAPSHOT.agent_stats.value.since.timestamp()
    }


async def test_gauges_have_no_beginning() -> None:
    _, pushed = await both()
    accumulating = {family.name for family in catalogue.FAMILIES if family.kind is Kind.COUNTER}
    accumulating |= {
        family.name + ending
        for family in catalogue.FAMILIES
        if family.kind is Kind.HISTOGRAM
        for ending in ("_bucket", "_count", "_sum")
    }

    assert {name for name, _ in translated(pushed.requests).began} <= accumulating


async def test_all_points_of_a_push_are_of_one_moment() -> None:
    async with receiver() as one, pushing(OtlpSettings(endpoint=one.address)) as pair:
        await pair.publish(SNAPSHOT)
        now = pair.clock.now()

    assert translated(one.requests).moments == {int(now.timestamp()) * 10**9}


async def test_own_metrics_are_the_same_both_ways() -> None:
    metrics = SelfMetrics(poll_interval=300, process=False)
    happen(metrics)
    async with (
        receiver() as one,
        pushing(OtlpSettings(endpoint=one.address), own=metrics.samples) as pair,
    ):
        await pair.publish(
            replace(SNAPSHOT, insights=None, inventory=None, deployment=None, agent_stats=None)
        )
    pushed = translated(one.requests)

    assert pushed.series == series(metrics.text(Format.OPENMETRICS) + END)
    assert set(pushed.began.values()) == {BEGAN.timestamp()}


async def test_help_and_unit_are_those_of_the_page() -> None:
    page, pushed = await both()
    found = translated(pushed.requests)
    units = {"seconds": "s", "bytes": "By", "": ""}
    named = {
        (family.name + "_total" if family.type == "counter" else family.name): family
        for family in parsed(page, Format.OPENMETRICS)
        if family.type not in {"gaugehistogram", "info"}
    }

    assert {name: (found.help[name], found.units[name]) for name in named} == {
        name: (family.documentation, units[family.unit]) for name, family in named.items()
    }


async def test_grpc_carries_the_same() -> None:
    with grpc_receiver() as other:
        settings = OtlpSettings(endpoint=other.address, protocol=OtlpProtocol.GRPC)
        async with pushing(settings) as pair:
            await pair.publish(SNAPSHOT)
        page, pushed = await both()

    assert translated(other.requests).series == translated(pushed.requests).series
    assert page == pair.exposition.page(Format.OPENMETRICS, gzip=False)


async def test_a_beginning_is_never_later_than_the_push() -> None:
    """The database's clock, which says when counting began, may be ahead of ours."""
    assert SNAPSHOT.agent_stats is not None
    ahead = replace(SNAPSHOT.agent_stats.value, since=datetime(2026, 1, 14, 10, 21, tzinfo=UTC))
    snapshot = replace(SNAPSHOT, agent_stats=replace(SNAPSHOT.agent_stats, value=ahead))
    async with receiver() as one, pushing(OtlpSettings(endpoint=one.address)) as pair:
        await pair.publish(snapshot)
    found = translated(one.requests)

    assert max(found.began.values()) <= min(found.moments) / 1e9


WORDS = st.lists(st.text("abtu01", min_size=1, max_size=5), min_size=1, max_size=4).map("_".join)


@given(
    WORDS,
    st.sampled_from([Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.INFO]),
    st.sampled_from(["", "seconds", "bytes"]),
    st.booleans(),
)
def test_any_name_translates_to_the_catalogues(words: str, kind: Kind, unit: str, own: bool) -> None:  # noqa: FBT001 - hypothesis gives it.
    stem = PREFIX + ("exporter_" if own else "") + words
    unit = "" if kind is Kind.INFO else unit
    ending = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(kind, "")
    family = Family(f"{stem}_{unit}{ending}" if unit else stem + ending, kind, "A help.", unit=unit)

    name = sanitize_full_name(instrument_name(family))
    translated_unit = map_unit(instrument_unit(family))
    # What the library's exporter for Prometheus does with a unit.
    name += f"_{translated_unit}" if translated_unit and not name.endswith(f"_{translated_unit}") else ""

    assert name + ("_total" if kind is Kind.COUNTER else "") == family.name


def test_no_name_has_a_word_that_receivers_move_or_spare() -> None:
    """Those written in Go append a unit only where no word of the name is it, and move any ``total``."""
    for family in catalogue.FAMILIES:
        words = sanitize_full_name(instrument_name(family)).split("_")

        assert map_unit(instrument_unit(family)) not in words
        assert "total" not in words
        assert "ratio" not in words


def test_names_are_in_lower_case_with_dots() -> None:
    for family in catalogue.FAMILIES:
        assert instrument_name(family).startswith("coder.insights.")
        assert instrument_name(family) == instrument_name(family).lower()
