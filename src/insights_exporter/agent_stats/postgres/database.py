"""A connection to Coder's database that only reads, and gives up in time."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from insights_exporter.collectors.agent_stats.faults import AgentStatsError
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.errors import ConfigError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = ["Database", "load_driver"]

CONNECT_TIMEOUT = 10.0
COMMAND_TIMEOUT_MARGIN = 5.0
"""Seconds after the server's own timeout until we take the connection for dead."""

WORK_MEM = "32MB"
"""Room for the groups of one query; with Postgres' default it would write them to disk."""


def load_driver() -> ModuleType:
    """Return the driver; raise ConfigError where it is not installed."""
    try:
        import asyncpg
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
        self._driver = load_driver()
        self._connection: Connection[Record] | None = None

    async def connect(self) -> bool:
        """Connect unless that is done; say whether the connection is new."""
        if self._connection is not None and not self._connection.is_closed():
            return False
        self.terminate()
        settings = self._settings
        assert settings.dsn is not None
        dsn = settings.dsn.read().reveal()
        password = None if settings.password is None else settings.password.read().reveal()
        with self._translate_errors():
            self._connection = await self._driver.connect(
                dsn,
                password=password,
                timeout=CONNECT_TIMEOUT,
                command_timeout=settings.statement_timeout + COMMAND_TIMEOUT_MARGIN,
                # Prepared statements would not survive a pooler that hands out connections by transaction.
                statement_cache_size=0,
            )
        return True

    @asynccontextmanager
    async def read_only_transaction(self) -> AsyncIterator[None]:
        """Let the queries inside see the same moment, and change nothing."""
        with self._translate_errors():
            connection = self._require_connection()
            # Settings of the transaction alone, so that a pooler may give the connection to others after it.
            await connection.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                f"SET LOCAL statement_timeout = {max(1, int(self._settings.statement_timeout * 1000))}; "
                f"SET LOCAL work_mem = '{WORK_MEM}'; SET LOCAL jit = off; SET LOCAL TimeZone = 'UTC'; "
                # Groups are few where rows are many, which the planner cannot know: it would sort all rows.
                "SET LOCAL enable_sort = off"
            )
            try:
                yield
            except BaseException:
                # After a fault or a cancellation nobody knows what still travels on the connection.
                self.terminate()
                raise
            await connection.execute("COMMIT")

    async def fetch(self, query: str, *values: object) -> list[Record]:
        """Return all rows of a small answer."""
        return await self._require_connection().fetch(query, *values)

    async def copy_lines(self, query: str, on_lines: Callable[[list[str]], Awaitable[None]]) -> None:
        """Give the lines of a large answer to ``take`` as they come; columns are split by tabs."""
        buffer = b""

        async def on_data(data: bytes) -> None:
            nonlocal buffer
            complete, newline, buffer = (buffer + data).rpartition(b"\n")
            if newline:
                await on_lines(complete.decode().split("\n"))

        await self._require_connection().copy_from_query(query, output=on_data)

    def terminate(self) -> None:
        """Close the connection without waiting for the other side."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _require_connection(self) -> Connection[Record]:
        if self._connection is None:
            raise AgentStatsError("The connection to the database is closed.", reason="database_unreachable")
        return self._connection

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn the driver's errors into ours; a cause could quote the address, which may hold a password."""
        try:
            yield
        except TimeoutError:
            raise AgentStatsError("The database did not answer in time.", reason="database_timeout") from None
        except ssl.SSLError as error:
            detail = getattr(error, "verify_message", "") or error.reason or "the other side broke off"
            raise AgentStatsError(
                f"No encrypted connection to the database could be made: {detail.rstrip('.')}.",
                reason="database_tls",
            ) from None
        except ConnectionError as error:
            if "SSL upgrade" in str(error):
                raise AgentStatsError(
                    "The database offers no encryption, and the address's sslmode asks for it.",
                    reason="database_tls",
                ) from None
            raise _to_agent_stats_error(self._driver, error) from None
        except (OSError, self._driver.PostgresError, self._driver.InterfaceError, ValueError) as error:
            raise _to_agent_stats_error(self._driver, error) from None


def _to_agent_stats_error(asyncpg: Any, error: Exception) -> AgentStatsError:
    """Return our error for one of the driver's; the first class that fits decides."""
    detail = str(error).rstrip(".")
    mappings: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
        (
            (asyncpg.QueryCanceledError,),
            "database_timeout",
            f"A query was given up: {detail}. See agent_stats.statement_timeout.",
        ),
        (
            (asyncpg.InsufficientPrivilegeError,),
            "database_permission",
            f"The role lacks a grant: {detail}. See docs/agent-statistics.md.",
        ),
        (
            (asyncpg.InvalidAuthorizationSpecificationError,),
            "database_login",
            f"The database refuses the login: {detail}.",
        ),
        ((asyncpg.SyntaxOrAccessError,), "database_schema", f"The tables are not as expected: {detail}."),
        (
            (FileNotFoundError,),
            "database_address",
            "A file that the database's address names is not there: a certificate, a key or a socket.",
        ),
        (
            (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError),
            "database_unreachable",
            f"The database cannot be reached: {detail}.",
        ),
        ((asyncpg.PostgresError,), "database_error", f"The database reports a fault: {detail}."),
        (
            (asyncpg.exceptions.ClientConfigurationError, ValueError),
            "database_address",
            "The database's address cannot be used; expected postgresql://user@host:5432/database.",
        ),
    )
    for error_types, reason, message in mappings:
        if isinstance(error, error_types):
            return AgentStatsError(message, reason=reason)
    return AgentStatsError("The connection to the database broke.", reason="database_unreachable")
