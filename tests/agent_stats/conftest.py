import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from insights_exporter.agent_stats.collector import AgentStatsCollector
from tests.agent_stats.agent_stats_harness import CollectorFactory, build_collector
from tests.support.agent_stats_table import AgentStatsTable
from tests.support.postgres import Postgres, postgres, postgres_server

__all__ = ["json_session_counts", "make_collector", "postgres", "postgres_server", "table"]


@pytest.fixture
def json_session_counts() -> bool:
    """Return whether the table has the newer schema; a module that tests both overrides this fixture."""
    return False


@pytest.fixture
def table(postgres: Postgres, *, json_session_counts: bool) -> AgentStatsTable:
    return AgentStatsTable.create(postgres, json_session_counts=json_session_counts)


@pytest.fixture
async def make_collector() -> AsyncIterator[CollectorFactory]:
    collectors: list[AgentStatsCollector] = []
    transports = _record_transports(asyncio.get_running_loop())

    def make(table: AgentStatsTable, **overrides: Any) -> AgentStatsCollector:
        collectors.append(build_collector(table, **overrides))
        return collectors[-1]

    yield make
    for item in collectors:
        item.close()
    for transport in transports:
        # After a refused login, asyncpg leaves the transport open.
        transport.abort()
    # Run the callbacks of the closed transports before the loop ends.
    await asyncio.sleep(0)


def _record_transports(loop: asyncio.AbstractEventLoop) -> list[asyncio.Transport]:
    """Return a list to which the loop appends each transport that it connects."""
    transports: list[asyncio.Transport] = []
    connect = loop.create_connection

    async def recording_connect(*arguments: Any, **options: Any) -> Any:
        transport, protocol = await connect(*arguments, **options)
        transports.append(transport)
        return transport, protocol

    loop.create_connection = recording_connect  # type: ignore[method-assign] # The loop ends with the test.
    return transports
