"""A read-only connection to Coder's database with timeouts."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.errors import AgentStatsError, ConfigError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = ["Database", "load_driver"]

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for opening a connection."""

COMMAND_TIMEOUT_MARGIN: Final = 5.0
"""Seconds after ``statement_timeout`` until an unanswered query breaks the connection."""

WORK_MEM: Final = "32MB"
"""Memory for the groups of one query; PostgreSQL's default would spill them to disk."""


def load_driver() -> ModuleType:
    """Return the driver; raise ConfigError if it is not installed."""
    try:
        import asyncpg  # noqa: PLC0415  # An optional dependency.
    except ImportError:
        raise ConfigError(
            "agent_stats.source: found postgres, but its driver is not installed. "
            "Run: pip install 'insights-exporter[postgres]'."
        ) from None
    return asyncpg


class Database:
    """One connection, which ``connect`` opens again after an error.

    All methods raise AgentStatsError, whose message has the remedy, or SecretError.
    """

    def __init__(self, settings: AgentStatsSettings) -> None:
        self._settings = settings
        self._driver = load_driver()
        self._connection: Connection[Record] | None = None

    async def connect(self) -> bool:
        """Open a connection if there is none, and return whether it is new."""
        if self._connection is not None and not self._connection.is_closed():
            return False
        self.terminate()
        settings = self._settings
        assert settings.dsn is not None  # noqa: S101  # Required by the settings of this source.
        dsn = settings.dsn.read().reveal()
        password = None if settings.password is None else settings.password.read().reveal()
        with self._translate_errors():
            self._connection = await self._driver.connect(
                dsn,
                password=password,
                timeout=CONNECT_TIMEOUT,
                command_timeout=settings.statement_timeout + COMMAND_TIMEOUT_MARGIN,
                # Prepared statements fail behind a pooler in transaction mode.
                statement_cache_size=0,
            )
        return True

    @asynccontextmanager
    async def read_only_transaction(self) -> AsyncIterator[None]:
        """Run queries on one snapshot of the database, read-only."""
        with self._translate_errors():
            connection = self._require_connection()
            # SET LOCAL ends with the transaction, so a pooler can pass the connection on.
            await connection.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                f"SET LOCAL statement_timeout = {max(1, int(self._settings.statement_timeout * 1000))}; "
                f"SET LOCAL work_mem = '{WORK_MEM}'; SET LOCAL jit = off; SET LOCAL TimeZone = 'UTC'; "
                # The planner overestimates the number of groups and would sort all rows.
                "SET LOCAL enable_sort = off"
            )
            try:
                yield
            except BaseException:
                # After an error or a cancellation, the state of the protocol is unknown.
                self.terminate()
                raise
            await connection.execute("COMMIT")

    async def fetch(self, query: str, *values: object) -> list[Record]:
        """Return all rows of a small result."""
        return await self._require_connection().fetch(query, *values)

    async def copy_lines(self, query: str, on_lines: Callable[[list[str]], Awaitable[None]]) -> None:
        """Pass the lines of a large result to ``on_lines`` as they arrive; columns are separated by tabs."""
        buffer = b""

        async def on_data(data: bytes) -> None:
            nonlocal buffer
            complete, newline, buffer = (buffer + data).rpartition(b"\n")
            if newline:
                await on_lines(complete.decode().split("\n"))

        await self._require_connection().copy_from_query(query, output=on_data)

    def terminate(self) -> None:
        """Close the connection without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _require_connection(self) -> Connection[Record]:
        if self._connection is None:
            raise AgentStatsError("The connection to the database is closed.", reason="database_unreachable")
        return self._connection

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translate the driver's errors, without their cause: it may contain the DSN with a password."""
        try:
            yield
        except TimeoutError:
            raise AgentStatsError("The database did not answer in time.", reason="database_timeout") from None
        except ssl.SSLError as error:
            detail = (
                getattr(error, "verify_message", "") or error.reason or "the server closed the connection"
            )
            raise AgentStatsError(
                f"The TLS connection to the database failed: {detail.rstrip('.')}.",
                reason="database_tls",
            ) from None
        except ConnectionError as error:
            if "SSL upgrade" in str(error):
                raise AgentStatsError(
                    "The database offers no encryption, which sslmode in agent_stats.dsn requires.",
                    reason="database_tls",
                ) from None
            raise _to_agent_stats_error(self._driver, error) from None
        except (OSError, self._driver.PostgresError, self._driver.InterfaceError, ValueError) as error:
            raise _to_agent_stats_error(self._driver, error) from None


def _to_agent_stats_error(asyncpg: Any, error: Exception) -> AgentStatsError:
    """Return the error for one of the driver's; the first matching class decides."""
    detail = str(error).rstrip(".")
    mappings: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
        (
            (asyncpg.QueryCanceledError,),
            "database_timeout",
            f"A query was canceled: {detail}. See agent_stats.statement_timeout.",
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
        (
            (asyncpg.SyntaxOrAccessError,),
            "database_schema",
            f"The tables differ from the expected schema: {detail}.",
        ),
        (
            (FileNotFoundError,),
            "database_address",
            "A file in agent_stats.dsn does not exist: a certificate, a key or a socket.",
        ),
        (
            (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError),
            "database_unreachable",
            f"The database cannot be reached: {detail}.",
        ),
        ((asyncpg.PostgresError,), "database_error", f"The database returned an error: {detail}."),
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
