"""Checks of agent reports in a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.check import Finding, Level
from insights_exporter.check.agent_database import AgentDatabaseCheck
from insights_exporter.clock import SystemClock
from insights_exporter.config.settings import CoderSettings, PrivacySettings, Settings, UsernameMode
from insights_exporter.secrets import EnvironmentSecret, LiteralSecret, Secret
from tests.agent_stats.agent_stats_harness import postgres_settings
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres, postgres, postgres_server

__all__ = ["postgres", "postgres_server"]

ROLE_PREFIX = "checked"


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def table(postgres: Postgres, request: pytest.FixtureRequest) -> AgentStatsTable:
    created_table = AgentStatsTable.create(postgres, json_session_counts=request.param)
    created_table.grant(f"{ROLE_PREFIX}_{created_table.database}", "pw")
    return created_table


async def collect_findings(
    table: AgentStatsTable,
    *,
    dsn: str = "",
    clock: FakeClock | None = None,
    users: UsernameMode = UsernameMode.NAMED,
    **overrides: object,
) -> dict[str, Finding]:
    """Return the findings by the end of their subject."""
    role = f"{ROLE_PREFIX}_{table.database}"
    dsn_or_default = dsn or table.server.dsn(table.database, user=role, password="pw")
    full_settings = Settings(
        coder=CoderSettings(url="http://127.0.0.1:9", token=LiteralSecret(Secret("none"))),
        agent_stats=postgres_settings(dsn_or_default, **overrides),
        privacy=PrivacySettings(users=users),
    )
    check = AgentDatabaseCheck(full_settings, clock or SystemClock())
    findings = {
        finding.subject.removeprefix("agent reports").strip(": "): finding async for finding in check.run()
    }
    # Closed connections report to the event loop, which must run once more.
    await asyncio.sleep(0)
    assert all(finding.advice for finding in findings.values() if finding.level is not Level.OK)
    return findings


async def test_healthy_database_has_only_ok_findings(table: AgentStatsTable) -> None:
    now = datetime.now(UTC)
    table.add(*(AgentStatsRow(now - timedelta(seconds=30 * index), agent=index) for index in range(20)))

    findings = await collect_findings(table)

    assert {finding.level for finding in findings.values()} == {Level.OK}, findings
    assert set(findings) == {"", "clock", "schema", "privileges", "freshness", "index"}
    assert "PostgreSQL" in findings[""].text
    assert ("session_counts" in findings["schema"].text) is table.json_session_counts
    assert "2.0 reports per minute" in findings["freshness"].text


async def test_missing_privilege_is_reported_with_grant_sql(table: AgentStatsTable) -> None:
    role = f"{ROLE_PREFIX}_{table.database}"
    table.sql(
        f"REVOKE SELECT (agent_id, rx_bytes) ON workspace_agent_stats FROM {role};"  # noqa: S608  # Own name.
        f"REVOKE SELECT (username) ON users FROM {role}"
    )

    findings = await collect_findings(table)

    assert findings["privileges"].level is Level.PROBLEM
    assert "workspace_agent_stats.agent_id, workspace_agent_stats.rx_bytes" in findings["privileges"].text
    assert "freshness" not in findings
    table.sql(findings["privileges"].advice)
    assert (await collect_findings(table))["privileges"].level is Level.OK


async def test_username_privileges_are_not_needed_when_users_are_off(table: AgentStatsTable) -> None:
    role = f"{ROLE_PREFIX}_{table.database}"
    table.sql(f"REVOKE SELECT (id, username) ON users FROM {role}")  # noqa: S608  # The role is the test's own.

    assert (await collect_findings(table, users=UsernameMode.OFF))["privileges"].level is Level.OK
    assert (await collect_findings(table))["privileges"].level is Level.PROBLEM


async def test_write_privileges_are_a_warning(table: AgentStatsTable) -> None:
    findings = await collect_findings(table, dsn=table.dsn)

    assert findings["privileges"].level is Level.WARNING
    assert "can write, too" in findings["privileges"].text


async def test_empty_table_is_a_warning(table: AgentStatsTable) -> None:
    assert (await collect_findings(table))["freshness"].text == "The table is empty."
    table.add(AgentStatsRow(datetime.now(UTC) - timedelta(hours=1)))

    finding = (await collect_findings(table))["freshness"]

    assert finding.level is Level.WARNING
    assert "The newest report is 36" in finding.text


async def test_clock_skew_is_a_warning(table: AgentStatsTable) -> None:
    table.add(AgentStatsRow(datetime.now(UTC) + timedelta(minutes=3)))

    findings = await collect_findings(table, clock=FakeClock(datetime.now(UTC) + timedelta(seconds=95)))

    assert findings["clock"].level is Level.WARNING
    assert "s behind the local clock" in findings["clock"].text
    assert findings["clocks of replicas"].level is Level.WARNING
    assert "s in the future" in findings["clocks of replicas"].text


async def test_missing_index_is_a_warning_on_large_tables(table: AgentStatsTable) -> None:
    table.sql("DROP INDEX idx_agent_stats_created_at")
    assert (await collect_findings(table))["index"].level is Level.OK
    table.sql("UPDATE pg_class SET reltuples = 3e6, relpages = 60000 WHERE relname = 'workspace_agent_stats'")

    finding = (await collect_findings(table))["index"]

    assert finding.level is Level.WARNING
    assert "Seq Scan on workspace_agent_stats" in finding.text


async def test_large_table_uses_the_index(table: AgentStatsTable) -> None:
    now = datetime.now(UTC)
    table.sql(
        "INSERT INTO workspace_agent_stats (id, created_at, user_id, agent_id, workspace_id, template_id)"  # noqa: S608  # Own date.
        f" SELECT gen_random_uuid(), '{now.isoformat()}'::timestamptz - n * interval '1 s', id, id, id, id"
        " FROM generate_series(1, 20000) AS n, gen_random_uuid() AS id; ANALYZE workspace_agent_stats"
    )

    finding = (await collect_findings(table))["index"]

    assert finding.level is Level.OK
    assert "using idx_agent_stats_created_at on workspace_agent_stats" in finding.text


@pytest.mark.parametrize(
    ("dsn", "text"),
    [
        ("postgresql://nobody@127.0.0.1:9/coder", "cannot be reached"),
        ("postgresql://postgres@127.0.0.1:{port}/absent", "absent"),
        ("postgresql://stranger:hunter2@127.0.0.1:{port}/postgres", "refuses the login"),
        ("postgresql://postgres@127.0.0.1:{port}/postgres", "no table workspace_agent_stats"),
        ("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require", "offers no encryption"),
        ("nonsense", "address cannot be used"),
    ],
)
async def test_connection_errors_are_reported(postgres: Postgres, dsn: str, text: str) -> None:
    findings = await collect_findings(
        AgentStatsTable(postgres, "postgres", json_session_counts=False), dsn=dsn.format(port=postgres.port)
    )

    worst = max(findings.values(), key=lambda finding: finding.level)
    assert worst.level is Level.PROBLEM
    assert text in worst.text
    assert "hunter2" not in worst.text


async def test_unreadable_password_is_reported(table: AgentStatsTable) -> None:
    findings = await collect_findings(table, password=EnvironmentSecret("NONE", {}))

    assert findings[""].level is Level.PROBLEM
    assert "the environment variable NONE" in findings[""].text
