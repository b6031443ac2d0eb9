import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from insights_exporter.agent_stats import PostgresCollector
from tests.agent_stats.agent_stats_harness import CollectorFactory, build_collector
from tests.support.agent_stats_table import AgentStatsTable
from tests.support.postgres import postgres, postgres_server

__all__ = ["make_collector", "postgres", "postgres_server"]


@pytest.fixture
async def make_collector() -> AsyncIterator[CollectorFactory]:
    collectors: list[PostgresCollector] = []
    transports = _record_transports(asyncio.get_running_loop())

    def make(table: AgentStatsTable, **overrides: Any) -> PostgresCollector:
        collectors.append(build_collector(table, **overrides))
        return collectors[-1]

    yield make
    for item in collectors:
        item.close()
    for transport in transports:
        # One whose login was refused waits for the server to take leave of it.
        transport.abort()
    # What was closed says so to the loop, which must hear it before it ends.
    await asyncio.sleep(0)


def _record_transports(loop: asyncio.AbstractEventLoop) -> list[asyncio.Transport]:
    """Return a list that gets every connection that this loop makes."""
    transports: list[asyncio.Transport] = []
    connect = loop.create_connection

    async def recording_connect(*arguments: Any, **options: Any) -> Any:
        transport, protocol = await connect(*arguments, **options)
        transports.append(transport)
        return transport, protocol

    loop.create_connection = recording_connect  # type: ignore[method-assign] # The loop ends with the test.
    return transports
