"""What was read from a real database goes the way of all families: the same bytes, limits and beginnings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from insights_exporter.metrics.catalogue.agent_stats import FAMILIES
from insights_exporter.metrics.families import families
from insights_exporter.metrics.text import Format, Samples, render
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings, UserNames
from insights_exporter.snapshot import AgentStats, Reading, Snapshot
from tests.agent_stats.reading import Collect, statement
from tests.support.agent_table import Report, Table
from tests.support.postgres import Postgres
from tests.support.reference import reference, reference_page

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
REDACTION = Redaction(UserNames.NAMED)


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def table(postgres: Postgres, request: pytest.FixtureRequest) -> Table:
    made = Table.create(postgres, counts=request.param)
    made.set_clock(NOW)
    return made


def busy(since: datetime) -> list[Report]:
    """Return reports of three people with awkward numbers."""
    return [
        Report(since + timedelta(seconds=20 * k), user, template, 0.1 + 37.3 * k, {"vscode": 1, "ssh": k % 2})
        for k in range(30)
        for user, template in (("ada", "python"), ("grace", "java"), ("alan", "python"))
    ]


def samples(known: AgentStats, limit: int = 1_000_000) -> list[Samples]:
    """Return the families of what is known."""
    snapshot = Snapshot(NOW, agent_stats=Reading(known, NOW))
    found = families(snapshot, redaction=REDACTION, limits=LimitSettings(series_per_family=limit)).samples
    return [
        Samples(one.family, list(one.numbers), list(one.distributions), one.bounds, one.created)
        for one in found
    ]


def numbers(known: AgentStats, **limit: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return each series of the page by name and label values."""
    page = bytes(render(samples(known, **limit), Format.OPENMETRICS)).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call] # Ships no types.
        for sample in family.samples
    }


async def known(table: Table, collector: Collect, **changed: object) -> AgentStats:
    """Return what is known of busy people; label sets that are new are zero once, so read twice."""
    reader = collector(table, **changed)
    await reader.read_once()
    table.add(*busy(statement(reader).since))
    await reader.read_once()
    await reader.read_once()
    return statement(reader)


@pytest.mark.parametrize("form", list(Format), ids=lambda form: form.name.lower())
async def test_bytes_are_those_of_prometheus_client(table: Table, collector: Collect, form: Format) -> None:
    found = samples(await known(table, collector))

    assert [one.family for one in found] == list(FAMILIES)
    assert bytes(render(found, form)) == reference_page(reference(found, form), form)


async def test_counters_began_when_counting_did_also_after_a_restart(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    before = await known(table, collector, state=tmp_path / "state")
    table.set_clock(NOW + timedelta(hours=2))
    second = collector(table, state=tmp_path / "state")
    await second._restore()
    await second.read_once()
    began = {value for (name, _), value in numbers(statement(second)).items() if name.endswith("_created")}

    assert began == {before.since.timestamp()} == {NOW.timestamp()}


async def test_templates_in_which_nothing_happens_are_zero_from_the_start(
    table: Table, collector: Collect
) -> None:
    reader = collector(table)
    await reader.read_once()

    found = numbers(statement(reader))
    for template in ("python", "java"):
        for app in ("vscode", "jetbrains", "reconnecting-pty", "ssh"):
            labels = (app, "acme", template)
            assert found["coder_insights_app_connection_latency_seconds_count", labels] == 0
            assert found["coder_insights_sessions", labels] == 0
        for name in ("agent_received_bytes_total", "agent_transmitted_bytes_total", "connections"):
            assert found[f"coder_insights_{name}", ("acme", template)] == 0


async def test_people_above_the_limit_are_added_up(table: Table, collector: Collect) -> None:
    told = await known(table, collector)
    name = "coder_insights_connection_latency_seconds_count"
    whole = {key: value for key, value in numbers(told).items() if key[0] == name}
    # Room for two histograms, each with a line per bound and three more.
    folded = {key: value for key, value in numbers(told, limit=2 * 17).items() if key[0] == name}

    assert len(whole) == 3
    assert any("_other" in labels for _, labels in folded)
    assert sum(folded.values()) == sum(whole.values()) == 90
