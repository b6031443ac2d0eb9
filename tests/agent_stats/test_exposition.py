"""Exposition of agent statistics: bytes, limits, created timestamps and zeros."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics.catalogue.agent_stats import (
    AGENT_STATS_FAMILIES,
    CONNECTION_LATENCY,
    USER_APP_SESSION,
    USER_PEER_CONNECTIONS,
)
from insights_exporter.metrics.encoder import FamilySamples, Format
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import AgentStats, Snapshot, Timestamped
from tests.agent_stats.agent_stats_harness import CollectorFactory, latest_stats
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.exposition_text import encode_exposition
from tests.support.prometheus_client_reference import reference_collector, reference_exposition

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
USERNAME_POLICY = UsernamePolicy(UsernameMode.NAMED)


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def json_session_counts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def table(table: AgentStatsTable) -> AgentStatsTable:
    table.freeze_clock(NOW)
    return table


def busy_reports(since: datetime) -> list[AgentStatsRow]:
    """Return reports of three users with irregular latencies."""
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
    """Return the rendered families."""
    snapshot = Snapshot(NOW, agent_stats=Timestamped(stats, NOW))
    rendered = build_families(
        snapshot, username_policy=USERNAME_POLICY, limits=LimitSettings(series_per_family=limit)
    ).samples
    return [FamilySamples(item.family, list(item), item.bounds, item.created) for item in rendered]


def series_values(stats: AgentStats, **limit: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the value of each series by name and label values."""
    exposition = encode_exposition(family_samples(stats, **limit), Format.OPENMETRICS).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(exposition)  # type: ignore[no-untyped-call] # Ships no types.
        for sample in family.samples
    }


async def stats_of_busy_users(
    table: AgentStatsTable, make_collector: CollectorFactory, **overrides: object
) -> AgentStats:
    """Return the statistics of busy users; two readings, because new label sets start at 0."""
    collector = make_collector(table, **overrides)
    await collector.read_once()
    table.add(*busy_reports(latest_stats(collector).since))
    await collector.read_once()
    await collector.read_once()
    return latest_stats(collector)


@pytest.mark.parametrize("text_format", list(Format), ids=lambda text_format: text_format.name.lower())
async def test_exposition_equals_prometheus_client(
    table: AgentStatsTable, make_collector: CollectorFactory, text_format: Format
) -> None:
    rendered_families = family_samples(await stats_of_busy_users(table, make_collector))

    assert [samples.family for samples in rendered_families] == list(AGENT_STATS_FAMILIES)
    assert encode_exposition(rendered_families, text_format) == reference_exposition(
        reference_collector(rendered_families, text_format), text_format
    )


async def test_created_timestamps_survive_restart(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    before = await stats_of_busy_users(table, make_collector, state=tmp_path / "state")
    table.freeze_clock(NOW + timedelta(hours=2))
    second = make_collector(table, state=tmp_path / "state")
    await second.restore()
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
    # Two histograms with one series per bound and three more.
    limited = {key: value for key, value in series_values(stats, limit=2 * 17).items() if key[0] == name}

    assert len(unlimited) == 3
    assert any("_other" in labels for _, labels in limited)
    assert sum(limited.values()) == sum(unlimited.values()) == 90


async def test_served_usernames_are_hashed_once(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    """The hashes equal those of the other families, so that they can be joined."""
    policy = UsernamePolicy(UsernameMode.HASHED, b"key")
    stats = await stats_of_busy_users(table, make_collector, username_policy=policy, exponential=True)
    snapshot = Snapshot(NOW, agent_stats=Timestamped(stats, NOW))
    rendered = build_families(snapshot, username_policy=policy, limits=LimitSettings()).samples
    exposition = encode_exposition(list(rendered), Format.TEXT).decode()
    usernames = {
        samples.family.name: set(
            re.findall(rf'^{samples.family.name}\w*{{.*username="([^"]*)"', exposition, re.MULTILINE)
        )
        for samples in rendered
        if "username" in samples.family.labels
    }

    expected = {policy.pseudonymize(user) for user in ("ada", "grace", "alan")}
    assert usernames == {
        CONNECTION_LATENCY.name: expected,
        USER_APP_SESSION.name: expected,
        # Only the source coderd_metrics has peers.
        USER_PEER_CONNECTIONS.name: set(),
    }
    exponential = next(item for item in rendered if item.family is CONNECTION_LATENCY).exponential_buckets
    assert {labels[-1] for labels, _ in exponential or ()} == expected
