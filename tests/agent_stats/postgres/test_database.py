"""Connections to PostgreSQL: TLS in each sslmode, passwords, and read-only transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.errors import AgentStatsError
from insights_exporter.secrets import FileSecret
from tests.agent_stats.agent_stats_harness import CollectorFactory, postgres_settings
from tests.support.agent_stats_table import AgentStatsTable
from tests.support.postgres import Postgres, find_postgres_bin_dir
from tests.support.recording_telemetry import RecordingTelemetry


@dataclass
class TlsServer:
    """A server with a certificate for 127.0.0.1, and an account that requires a client certificate."""

    table: AgentStatsTable
    directory: Path

    @property
    def ssl_in_use(self) -> str:
        """Whether the connections of the exporter use TLS: ``t`` or ``f``."""
        return self.table.sql(
            "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def dsn(self, options: str, *, user: str = "postgres", host: str = "127.0.0.1") -> str:
        """Return a DSN with options; names in braces are files of the directory."""
        address = f"postgresql://{user}@{host}:{self.table.server.port}/{self.table.database}"
        return f"{address}?{options.replace('{', f'{self.directory}/').replace('}', '')}"


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    programs = find_postgres_bin_dir()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: see tests/support/install-binaries.sh.")
    directory = tmp_path_factory.mktemp("certificates")
    authority, untrusted_authority, server = trustme.CA(), trustme.CA(), Postgres(programs)
    try:
        certificate = authority.issue_cert("127.0.0.1")
        server.write_private_file(server.data / "server.pem", certificate.cert_chain_pems[0].bytes())
        server.write_private_file(server.data / "server.key", certificate.private_key_pem.bytes())
        server.write_private_file(server.data / "clients.pem", authority.cert_pem.bytes())
        authority.cert_pem.write_to_path(directory / "ca.pem")
        untrusted_authority.cert_pem.write_to_path(directory / "untrusted.pem")
        client = authority.issue_cert("exporter", common_name="exporter")
        client.cert_chain_pems[0].write_to_path(directory / "client.pem")
        client.private_key_pem.write_to_path(directory / "client.key")
        (directory / "client.key").chmod(0o600)
        hba_rules = (server.data / "pg_hba.conf").read_text()
        (server.data / "pg_hba.conf").write_text(
            f"hostssl all exporter 127.0.0.1/32 cert\nhost all exporter 127.0.0.1/32 reject\n{hba_rules}"
        )
        server.start(
            ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key", ssl_ca_file="clients.pem"
        )
        table = AgentStatsTable.create(server)
        table.sql("CREATE ROLE exporter SUPERUSER LOGIN")
        yield TlsServer(table, directory)
    finally:
        server.remove()


@pytest.mark.parametrize(
    ("options", "ssl_in_use"),
    [
        ("sslmode=disable", "f"),
        ("sslmode=prefer", "t"),
        ("", "t"),
        ("sslmode=require", "t"),
        ("sslmode=verify-ca&sslrootcert={ca.pem}", "t"),
        ("sslmode=verify-full&sslrootcert={ca.pem}", "t"),
    ],
)
async def test_each_sslmode_connects(
    tls_server: TlsServer, make_collector: CollectorFactory, options: str, ssl_in_use: str
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(tls_server.table, telemetry=telemetry, dsn=tls_server.dsn(options))

    assert await collector.read_once(), telemetry.errors
    assert tls_server.ssl_in_use == ssl_in_use
    collector.close()


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_untrusted_certificate_is_rejected(
    tls_server: TlsServer, make_collector: CollectorFactory, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = RecordingTelemetry()
    dsn = tls_server.dsn(f"sslmode={mode}&sslrootcert={{untrusted.pem}}")

    assert not await make_collector(tls_server.table, telemetry=telemetry, dsn=dsn).read_once()
    assert telemetry.errors == [("agent_stats", "database_tls")]
    assert "self-signed certificate in certificate chain" in str(vars(caplog.records[-1]))


@pytest.mark.parametrize(("mode", "accepted"), [("verify-ca", True), ("verify-full", False)])
async def test_only_verify_full_checks_the_hostname(
    tls_server: TlsServer, make_collector: CollectorFactory, mode: str, *, accepted: bool
) -> None:
    telemetry = RecordingTelemetry()
    dsn = tls_server.dsn(f"sslmode={mode}&sslrootcert={{ca.pem}}", host="localhost")

    assert await make_collector(tls_server.table, telemetry=telemetry, dsn=dsn).read_once() is accepted
    assert telemetry.errors == ([] if accepted else [("agent_stats", "database_tls")])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("sslmode=verify-full&sslrootcert={ca.pem}&sslcert={client.pem}&sslkey={client.key}", ""),
        ("sslmode=verify-full&sslrootcert={ca.pem}", "database_login"),
    ],
)
async def test_client_certificate_authenticates(
    tls_server: TlsServer, make_collector: CollectorFactory, options: str, reason: str
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(
        tls_server.table, telemetry=telemetry, dsn=tls_server.dsn(options, user="exporter")
    )

    assert await collector.read_once() is not bool(reason)
    assert telemetry.errors == ([("agent_stats", reason)] if reason else [])
    collector.close()


@pytest.mark.parametrize("mode", ["require", "verify-full&sslrootcert={ca.pem}"])
async def test_server_without_tls_is_rejected_when_required(
    tls_server: TlsServer, postgres: Postgres, make_collector: CollectorFactory, mode: str
) -> None:
    telemetry, table = RecordingTelemetry(), AgentStatsTable.create(postgres)
    server_without_tls = TlsServer(table, tls_server.directory)

    assert not await make_collector(
        table, telemetry=telemetry, dsn=server_without_tls.dsn(f"sslmode={mode}")
    ).read_once()
    assert telemetry.errors == [("agent_stats", "database_tls")]


@pytest.mark.parametrize("option", ["sslmode=verify-full&sslrootcert={absent.pem}", "sslmode=sideways"])
async def test_invalid_dsn_option_is_reported(
    tls_server: TlsServer, make_collector: CollectorFactory, option: str
) -> None:
    telemetry = RecordingTelemetry()

    assert not await make_collector(
        tls_server.table, telemetry=telemetry, dsn=tls_server.dsn(option)
    ).read_once()
    assert telemetry.errors == [("agent_stats", "database_address")]


async def test_password_is_reread_on_reconnect(
    postgres: Postgres, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    table = AgentStatsTable.create(postgres)
    role, file, telemetry = f"rotated_{table.database}", tmp_path / "password", RecordingTelemetry()
    table.grant(role, "first")
    file.write_text("first\n")
    dsn = table.server.dsn(table.database, user=role)
    collector = make_collector(table, telemetry=telemetry, dsn=dsn, password=FileSecret(file))
    await collector.read_once()
    table.sql(f"ALTER ROLE {role} PASSWORD 'another'")
    file.write_text("another\n")
    collector.close()

    assert await collector.read_once()
    assert telemetry.errors == []


async def test_transaction_is_read_only(table: AgentStatsTable) -> None:
    database = Database(postgres_settings(table.dsn))
    await database.connect()

    with pytest.raises(AgentStatsError, match="read-only transaction"):
        async with database.read_only_transaction():
            await database.fetch("DELETE FROM workspace_agent_stats")


async def test_settings_are_local_to_the_transaction(table: AgentStatsTable) -> None:
    """A pooler may pass the connection to another client after the transaction."""
    database = Database(postgres_settings(table.dsn, statement_timeout=7.0))
    await database.connect()
    async with database.read_only_transaction():
        inside = await database.fetch("SHOW statement_timeout")
    async with database.read_only_transaction():
        await database.fetch("SELECT 1")
    after = await database.fetch("SHOW statement_timeout")
    database.terminate()
    await asyncio.sleep(0)

    assert (inside[0][0], after[0][0]) == ("7s", "0")
