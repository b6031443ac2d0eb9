"""A connection to Coder's database that only reads, and gives up in time."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.errors import ConfigError
from insights_exporter.settings import AgentStatsSettings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = ["Database", "driver"]

CONNECT_TIMEOUT = 10.0
GRACE = 5.0
"""Seconds after the server's own timeout until we take the connection for dead."""

WORK_MEMORY = "32MB"
"""Room for the groups of one query; with Postgres' default it would write them to disk."""


def driver() -> ModuleType:
    """Return the driver; raise ConfigError where it is not installed."""
    try:
        import asyncpg  # noqa: PLC0415 - only those who choose this source have it.
    except ImportError:
        raise ConfigError(
            "agent_stats.source: found postgres, but its driver is not installed. "
            "Run: pip install 'insights-exporter[postgres]'."
        ) from None
    return asyncpg


class Database:
    """One connection, opened when it is needed and again after it broke.

    Everything raises SourceError, which says what to do, or SecretError.
    """

    def __init__(self, settings: AgentStatsSettings) -> None:
        self._settings = settings
        self._driver = driver()
        self._connection: Connection[Record] | None = None

    async def open(self) -> bool:
        """Connect unless that is done; say whether the connection is new."""
        if self._connection is not None and not self._connection.is_closed():
            return False
        self.drop()
        settings = self._settings
        assert settings.dsn is not None  # noqa: S101 - a rule of the configuration.
        address = settings.dsn.read().reveal()
        password = None if settings.password is None else settings.password.read().reveal()
        with self._faults():
            self._connection = await self._driver.connect(
                address,
                password=password,
                timeout=CONNECT_TIMEOUT,
                command_timeout=settings.statement_timeout + GRACE,
                # Prepared statements would not survive a pooler that hands out connections by transaction.
                statement_cache_size=0,
            )
        return True

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Let the queries inside see the same moment, and change nothing."""
        with self._faults():
            connection = self._open()
            # Settings of the transaction alone, so that a pooler may give the connection to others after it.
            await connection.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                f"SET LOCAL statement_timeout = {max(1, int(self._settings.statement_timeout * 1000))}; "
                f"SET LOCAL work_mem = '{WORK_MEMORY}'; SET LOCAL jit = off; SET LOCAL TimeZone = 'UTC'; "
                # Groups are few where rows are many, which the planner cannot know: it would sort all rows.
                "SET LOCAL enable_sort = off"
            )
            try:
                yield
            except BaseException:
                # After a fault or a cancellation nobody knows what still travels on the connection.
                self.drop()
                raise
            await connection.execute("COMMIT")

    async def rows(self, query: str, *values: object) -> list[Record]:
        """Return all rows of a small answer."""
        return await self._open().fetch(query, *values)

    async def lines(self, query: str, take: Callable[[list[str]], Awaitable[None]]) -> None:
        """Give the lines of a large answer to ``take`` as they come; columns are split by tabs."""
        rest = b""

        async def output(data: bytes) -> None:
            nonlocal rest
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                await take(whole.decode().split("\n"))

        await self._open().copy_from_query(query, output=output)

    def drop(self) -> None:
        """Close the connection without waiting for the other side."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _open(self) -> Connection[Record]:
        if self._connection is None:
            raise SourceError("The connection to the database is closed.", reason="database_unreachable")
        return self._connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn the driver's errors into ours; a cause could quote the address, which may hold a password."""
        try:
            yield
        except TimeoutError:
            raise SourceError("The database did not answer in time.", reason="database_timeout") from None
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "the other side broke off"
            raise SourceError(
                f"No encrypted connection to the database could be made: {why.rstrip('.')}.",
                reason="database_tls",
            ) from None
        except ConnectionError as error:
            if "SSL upgrade" in str(error):
                raise SourceError(
                    "The database offers no encryption, and the address's sslmode asks for it.",
                    reason="database_tls",
                ) from None
            raise _translated(self._driver, error) from None
        except (OSError, self._driver.PostgresError, self._driver.InterfaceError, ValueError) as error:
            raise _translated(self._driver, error) from None


def _translated(asyncpg: Any, error: Exception) -> SourceError:
    """Return our error for one of the driver's; the first class that fits decides."""
    told = str(error).rstrip(".")
    kinds: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
        (
            (asyncpg.QueryCanceledError,),
            "database_timeout",
            f"A query was given up: {told}. See agent_stats.statement_timeout.",
        ),
        (
            (asyncpg.InsufficientPrivilegeError,),
            "database_permission",
            f"The role lacks a grant: {told}. See docs/agent-statistics.md.",
        ),
        (
            (asyncpg.InvalidAuthorizationSpecificationError,),
            "database_login",
            f"The database refuses the login: {told}.",
        ),
        ((asyncpg.SyntaxOrAccessError,), "database_schema", f"The tables are not as expected: {told}."),
        (
            (FileNotFoundError,),
            "database_address",
            "A file that the database's address names is not there: a certificate, a key or a socket.",
        ),
        (
            (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError),
            "database_unreachable",
            f"The database cannot be reached: {told}.",
        ),
        ((asyncpg.PostgresError,), "database_error", f"The database reports a fault: {told}."),
        (
            (asyncpg.exceptions.ClientConfigurationError, ValueError),
            "database_address",
            "The database's address cannot be used; expected postgresql://user@host:5432/database.",
        ),
    )
    for kind, reason, message in kinds:
        if isinstance(error, kind):
            return SourceError(message, reason=reason)
    return SourceError("The connection to the database broke.", reason="database_unreachable")
