"""What was read from a real database goes the way of all families: the same bytes, limits and beginnings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics.catalogue.agent_stats import FAMILIES
from insights_exporter.metrics.encoder.text import FamilySamples, Format, encode_families
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import AgentStats, Snapshot, Timestamped
from tests.agent_stats.agent_stats_harness import CollectorFactory, latest_stats
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.postgres import Postgres
from tests.support.prometheus_client_reference import reference_collector, reference_exposition

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
REDACTION = UsernamePolicy(UsernameMode.NAMED)


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def table(postgres: Postgres, request: pytest.FixtureRequest) -> AgentStatsTable:
    created = AgentStatsTable.create(postgres, json_session_counts=request.param)
    created.freeze_clock(NOW)
    return created


def busy_reports(since: datetime) -> list[AgentStatsRow]:
    """Return reports of three people with awkward numbers."""
    return [
        AgentStatsRow(
            since + timedelta(seconds=20 * number),
            user,
            template,
            0.1 + 37.3 * number,
            {"vscode": 1, "ssh": number % 2},
        )
        for number in range(30)
        for user, template in (("ada", "python"), ("grace", "java"), ("alan", "python"))
    ]


def family_samples(stats: AgentStats, limit: int = 1_000_000) -> list[FamilySamples]:
    """Return the families of what is known."""
    snapshot = Snapshot(NOW, agent_stats=Timestamped(stats, NOW))
    rendered = build_families(
        snapshot, username_policy=REDACTION, limits=LimitSettings(series_per_family=limit)
    ).samples
    return [
        FamilySamples(item.family, list(item.floats), list(item.histograms), item.bounds, item.created)
        for item in rendered
    ]


def series_values(stats: AgentStats, **limit: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return each series of the page by name and label values."""
    page = bytes(encode_families(family_samples(stats, **limit), Format.OPENMETRICS)).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call] # Ships no types.
        for sample in family.samples
    }


async def stats_of_busy_users(
    table: AgentStatsTable, make_collector: CollectorFactory, **overrides: object
) -> AgentStats:
    """Return what is known of busy people; label sets that are new are zero once, so read twice."""
    collector = make_collector(table, **overrides)
    await collector.read_once()
    table.add(*busy_reports(latest_stats(collector).since))
    await collector.read_once()
    await collector.read_once()
    return latest_stats(collector)


@pytest.mark.parametrize("form", list(Format), ids=lambda form: form.name.lower())
async def test_exposition_equals_prometheus_client(
    table: AgentStatsTable, make_collector: CollectorFactory, form: Format
) -> None:
    rendered_families = family_samples(await stats_of_busy_users(table, make_collector))

    assert [samples.family for samples in rendered_families] == list(FAMILIES)
    assert bytes(encode_families(rendered_families, form)) == reference_exposition(
        reference_collector(rendered_families, form), form
    )


async def test_created_timestamps_survive_restart(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    before = await stats_of_busy_users(table, make_collector, state=tmp_path / "state")
    table.freeze_clock(NOW + timedelta(hours=2))
    second = make_collector(table, state=tmp_path / "state")
    await second._restore()
    await second.read_once()
    created_values = {
        value for (name, _), value in series_values(latest_stats(second)).items() if name.endswith("_created")
    }

    assert created_values == {before.since.timestamp()} == {NOW.timestamp()}


async def test_idle_templates_start_at_zero(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    collector = make_collector(table)
    await collector.read_once()

    values = series_values(latest_stats(collector))
    for template in ("python", "java"):
        for app in ("vscode", "jetbrains", "reconnecting-pty", "ssh"):
            labels = (app, "acme", template)
            assert values["coder_insights_app_connection_latency_seconds_count", labels] == 0
            assert values["coder_insights_sessions", labels] == 0
        for name in ("agent_received_bytes_total", "agent_transmitted_bytes_total", "connections"):
            assert values[f"coder_insights_{name}", ("acme", template)] == 0


async def test_users_above_series_limit_are_summed_into_other(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    stats = await stats_of_busy_users(table, make_collector)
    name = "coder_insights_connection_latency_seconds_count"
    unlimited = {key: value for key, value in series_values(stats).items() if key[0] == name}
    # Room for two histograms, each with a line per bound and three more.
    limited = {key: value for key, value in series_values(stats, limit=2 * 17).items() if key[0] == name}

    assert len(unlimited) == 3
    assert any("_other" in labels for _, labels in limited)
    assert sum(limited.values()) == sum(unlimited.values()) == 90
