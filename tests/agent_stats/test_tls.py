"""Connections to a real PostgreSQL that has a certificate, in each of libpq's modes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from insights_exporter.secret import FileSecret
from tests.agent_stats.reading import Collect
from tests.support.agent_table import Table
from tests.support.postgres import Postgres, postgres_programs
from tests.support.told import Told


@dataclass
class Encrypted:
    """A server with a certificate for 127.0.0.1, and an account that needs one of its own."""

    table: Table
    folder: Path

    @property
    def used(self) -> str:
        """Whether the connections of the exporter are encrypted."""
        return self.table.sql(
            "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def dsn(self, options: str, *, user: str = "postgres", host: str = "127.0.0.1") -> str:
        """Return an address with options; paths in braces stand for files of this folder."""
        address = f"postgresql://{user}@{host}:{self.table.server.port}/{self.table.database}"
        return f"{address}?{options.replace('{', f'{self.folder}/').replace('}', '')}"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: see tests/support/install-binaries.sh.")
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger, server = trustme.CA(), trustme.CA(), Postgres(programs)
    try:
        certificate = authority.issue_cert("127.0.0.1")
        server.give(server.data / "server.pem", certificate.cert_chain_pems[0].bytes())
        server.give(server.data / "server.key", certificate.private_key_pem.bytes())
        server.give(server.data / "clients.pem", authority.cert_pem.bytes())
        authority.cert_pem.write_to_path(folder / "ca.pem")
        stranger.cert_pem.write_to_path(folder / "stranger.pem")
        client = authority.issue_cert("machine", common_name="machine")
        client.cert_chain_pems[0].write_to_path(folder / "client.pem")
        client.private_key_pem.write_to_path(folder / "client.key")
        (folder / "client.key").chmod(0o600)
        hosts = (server.data / "pg_hba.conf").read_text()
        (server.data / "pg_hba.conf").write_text(
            f"hostssl all machine 127.0.0.1/32 cert\nhost all machine 127.0.0.1/32 reject\n{hosts}"
        )
        server.start(
            ssl="on", ssl_cert_file="server.pem", ssl_key_file="server.key", ssl_ca_file="clients.pem"
        )
        table = Table.create(server)
        table.sql("CREATE ROLE machine SUPERUSER LOGIN")
        yield Encrypted(table, folder)
    finally:
        server.remove()


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ("sslmode=disable", "f"),
        ("sslmode=prefer", "t"),
        ("", "t"),
        ("sslmode=require", "t"),
        ("sslmode=verify-ca&sslrootcert={ca.pem}", "t"),
        ("sslmode=verify-full&sslrootcert={ca.pem}", "t"),
    ],
)
async def test_each_mode_connects(encrypted: Encrypted, collector: Collect, options: str, used: str) -> None:
    told = Told()
    reader = collector(encrypted.table, told=told, dsn=encrypted.dsn(options))

    assert await reader.read_once(), told.errors
    assert encrypted.used == used
    reader.close()


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_certificate_of_a_stranger_is_refused(
    encrypted: Encrypted, collector: Collect, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    dsn = encrypted.dsn(f"sslmode={mode}&sslrootcert={{stranger.pem}}")

    assert not await collector(encrypted.table, told=told, dsn=dsn).read_once()
    assert told.errors == [("agent_stats", "database_tls")]
    assert "self-signed certificate in certificate chain" in str(vars(caplog.records[-1]))


@pytest.mark.parametrize(("mode", "accepted"), [("verify-ca", True), ("verify-full", False)])
async def test_only_the_fullest_mode_asks_for_the_name(
    encrypted: Encrypted, collector: Collect, mode: str, *, accepted: bool
) -> None:
    told = Told()
    dsn = encrypted.dsn(f"sslmode={mode}&sslrootcert={{ca.pem}}", host="localhost")

    assert await collector(encrypted.table, told=told, dsn=dsn).read_once() is accepted
    assert told.errors == ([] if accepted else [("agent_stats", "database_tls")])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("sslmode=verify-full&sslrootcert={ca.pem}&sslcert={client.pem}&sslkey={client.key}", ""),
        ("sslmode=verify-full&sslrootcert={ca.pem}", "database_login"),
    ],
)
async def test_a_certificate_serves_as_a_login(
    encrypted: Encrypted, collector: Collect, options: str, reason: str
) -> None:
    told = Told()
    reader = collector(encrypted.table, told=told, dsn=encrypted.dsn(options, user="machine"))

    assert await reader.read_once() is not bool(reason)
    assert told.errors == ([("agent_stats", reason)] if reason else [])
    reader.close()


@pytest.mark.parametrize("mode", ["require", "verify-full&sslrootcert={ca.pem}"])
async def test_a_server_without_certificate_is_refused_where_one_is_wanted(
    encrypted: Encrypted, postgres: Postgres, collector: Collect, mode: str
) -> None:
    told, table = Told(), Table.create(postgres)
    plain = Encrypted(table, encrypted.folder)

    assert not await collector(table, told=told, dsn=plain.dsn(f"sslmode={mode}")).read_once()
    assert told.errors == [("agent_stats", "database_tls")]


@pytest.mark.parametrize("option", ["sslmode=verify-full&sslrootcert={absent.pem}", "sslmode=sideways"])
async def test_a_bad_option_is_named(encrypted: Encrypted, collector: Collect, option: str) -> None:
    told = Told()

    assert not await collector(encrypted.table, told=told, dsn=encrypted.dsn(option)).read_once()
    assert told.errors == [("agent_stats", "database_address")]


async def test_a_password_is_read_again_at_each_connection(
    postgres: Postgres, collector: Collect, tmp_path: Path
) -> None:
    table = Table.create(postgres)
    role, file, told = f"rotated_{table.database}", tmp_path / "password", Told()
    table.grant(role, "first")
    file.write_text("first\n")
    dsn = table.server.dsn(table.database, user=role)
    reader = collector(table, told=told, dsn=dsn, password=FileSecret(file))
    await reader.read_once()
    table.sql(f"ALTER ROLE {role} PASSWORD 'another'")
    file.write_text("another\n")
    reader.close()

    assert await reader.read_once()
    assert told.errors == []
