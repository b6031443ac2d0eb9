"""Reports are read from a real PostgreSQL and counted once."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.redaction import Redaction
from insights_exporter.settings import FilterSettings, NameFilter, UserNames
from tests.agent_stats.reading import Collect, compare, statement
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.agent_table import Report, Table
from tests.support.postgres import Postgres
from tests.support.told import Told


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def table(postgres: Postgres, request: pytest.FixtureRequest) -> Table:
    return Table.create(postgres, counts=request.param)


def ago(seconds: float) -> datetime:
    """Return a moment of the database's clock, which is this machine's."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def test_all_that_agents_tell_is_counted_as_the_table_says(table: Table, collector: Collect) -> None:
    reader = collector(table)
    assert await reader.read_once()
    since = statement(reader).since
    reports = [
        Report(since + timedelta(seconds=k), user, template, latency, sessions, agent=k)
        for k, (user, template, latency, sessions) in enumerate(
            [
                ("ada", "python", 42.0, {"vscode": 1}),
                ("ada", "python", 5.0, {"vscode": 2, "ssh": 1}),
                ("ada", "java", 5.0001, {"jetbrains": 1}),
                ("grace", "java", 5000.0, {"reconnecting_pty": 1}),
                ("grace", "java", 5000.1, {"reconnecting_pty": 1}),
                ("grace", "python", 150.0, {"ssh": 3}),
                ("alan", "python", 300.0, {}),
                ("alan", "python", 1e-9, {"vscode": 1}),
            ]
        )
    ]
    table.add(*reports)

    await reader.read_once()
    await reader.read_once()

    compare(table.truth(since), statement(reader))


@pytest.mark.parametrize("latency", [-1.0, -0.001, 0.0, None, math.nan, math.inf])
async def test_what_was_not_measured_is_no_observation(
    table: Table, latency: float | None, collector: Collect
) -> None:
    reader = collector(table)
    await reader.read_once()
    table.add(Report(statement(reader).since, latency_ms=latency))

    await reader.read_once()
    await reader.read_once()

    found = statement(reader)
    assert not user_latency(found)
    assert user_seconds(found) == {("acme", "python", "ada", "vscode"): 60.0}


async def test_what_a_client_wrote_is_time_but_no_observation(table: Table, collector: Collect) -> None:
    reader = collector(table)
    await reader.read_once()
    since = statement(reader).since
    table.add(
        Report(since, latency_ms=9.0, usage=True, connections=1),
        Report(since, latency_ms=9.0, usage=True, connections=1),
        Report(since, latency_ms=9.0, sessions={}, connections=2),
    )

    await reader.read_once()
    await reader.read_once()

    found = statement(reader)
    assert not user_latency(found)
    assert user_seconds(found) == {("acme", "python", "ada", "vscode"): 60.0}


async def test_a_minute_with_several_reports_is_one_minute(table: Table, collector: Collect) -> None:
    reader = collector(table)
    await reader.read_once()
    since = statement(reader).since
    table.add(*(Report(since + timedelta(seconds=k), agent=k % 2) for k in range(0, 60, 10)))
    table.add(Report(since + timedelta(hours=2)))

    await reader.read_once()
    await reader.read_once()

    assert user_seconds(statement(reader)) == {("acme", "python", "ada", "vscode"): 120.0}


async def test_what_is_open_is_what_each_agent_said_last(table: Table, collector: Collect) -> None:
    table.add(
        Report(ago(200), agent=1, sessions={"ssh": 7}, connections=7),
        Report(ago(40), agent=2, sessions={"vscode": 5}, connections=5),
        Report(ago(10), agent=2, sessions={"vscode": 2, "ssh": 1}, connections=3),
        Report(ago(12), agent=3, sessions={"vscode": 1}, connections=1, user="grace"),
        Report(ago(11), agent=4, sessions={}, connections=4, template="java"),
        Report(ago(12), agent=4, sessions={"ssh": 1}, connections=1, template="java", usage=True),
        Report(ago(50), agent=4, sessions={"ssh": 1}, connections=1, template="java", usage=True),
    )
    reader = collector(table)

    await reader.read_once()

    found = statement(reader)
    assert {key: count for key, count in found.sessions.items() if count} == {
        ("acme", "python", "vscode"): 3,
        ("acme", "python", "ssh"): 1,
        ("acme", "java", "ssh"): 1,
    }
    assert found.connections == {("acme", "python"): 4, ("acme", "java"): 4}


async def test_templates_that_are_silent_are_zero(table: Table, collector: Collect) -> None:
    reader = collector(table)

    await reader.read_once()

    found = statement(reader)
    apps = ("vscode", "jetbrains", "reconnecting-pty", "ssh")
    assert {("acme", name, app) for name in ("python", "java") for app in apps} == set(found.app_latency)
    assert found.received_bytes == {("acme", "python"): 0.0, ("acme", "java"): 0.0}
    assert not user_latency(found)


async def test_a_user_that_is_new_begins_with_zero(table: Table, collector: Collect) -> None:
    reader = collector(table)
    await reader.read_once()
    table.add(Report(statement(reader).since))

    await reader.read_once()
    first = user_latency(statement(reader))["acme", "python", "ada"]
    await reader.read_once()

    assert sum(first.counts) == 0
    assert sum(user_latency(statement(reader))["acme", "python", "ada"].counts) == 1


async def test_a_user_who_came_after_names_were_read_is_named(table: Table, collector: Collect) -> None:
    reader = collector(table)
    await reader.read_once()
    table.add_user("barbara")
    table.add(Report(statement(reader).since, user="barbara"))

    await reader.read_once()

    assert set(user_latency(statement(reader))) == {("acme", "python", "barbara")}


async def test_clients_of_newer_agents_count_as_their_family(postgres: Postgres, collector: Collect) -> None:
    table = Table.create(postgres, counts=True)
    reader = collector(table)
    await reader.read_once()
    since = statement(reader).since
    table.add(Report(since, sessions={"cursor": 1, "vscode": 1, "zed": 1, 'new\\"thing': 2, "idle": 0}))

    await reader.read_once()
    await reader.read_once()

    compare(table.truth(since), statement(reader))
    assert {key[2] for key, one in statement(reader).app_latency.items() if any(one.counts)} == {
        *("vscode", "ssh", "unknown")
    }


async def test_what_filters_leave_out_is_not_counted(table: Table, collector: Collect) -> None:
    filters = FilterSettings(templates=NameFilter(deny=("java",)), users=NameFilter(deny=("grace",)))
    reader = collector(table, filters=filters)
    await reader.read_once()
    since = statement(reader).since
    table.add(
        Report(since), Report(since, user="grace"), Report(since, template="java"), Report(since, agent=2)
    )

    await reader.read_once()
    await reader.read_once()

    found = statement(reader)
    assert set(user_latency(found)) == {("acme", "python", "ada")}
    assert sum(found.app_latency["acme", "python", "vscode"].counts) == 3
    assert set(found.connections) == {("acme", "python")}


async def test_without_users_no_name_is_asked_for(table: Table, collector: Collect) -> None:
    table.grant(f"nameless_{table.database}", "pw")
    table.sql(f"REVOKE SELECT (id, username) ON users FROM nameless_{table.database}")  # noqa: S608 - the name is ours.
    dsn = table.server.dsn(table.database, user=f"nameless_{table.database}", password="pw")
    reader = collector(table, redaction=Redaction(UserNames.OFF), dsn=dsn)
    await reader.read_once()
    table.add(Report(statement(reader).since))

    await reader.read_once()
    await reader.read_once()

    found = statement(reader)
    assert not user_latency(found)
    assert not user_seconds(found)
    assert sum(found.app_latency["acme", "python", "vscode"].counts) == 1


async def test_the_documented_rights_suffice(table: Table, collector: Collect) -> None:
    role = f"reader_{table.database}"
    table.grant(role, "pw")
    told = Told()
    reader = collector(table, told=told, dsn=table.server.dsn(table.database, user=role, password="pw"))

    assert await reader.read_once()
    assert told.errors == []
