import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from insights_exporter.collectors.agent_stats import PostgresCollector
from tests.agent_stats.reading import Collect, collecting
from tests.support.agent_table import Table
from tests.support.postgres import postgres, postgres_server

__all__ = ["collector", "postgres", "postgres_server"]


@pytest.fixture
async def collector() -> AsyncIterator[Collect]:
    made: list[PostgresCollector] = []
    opened = _transports(asyncio.get_running_loop())

    def collect(table: Table, **changed: Any) -> PostgresCollector:
        made.append(collecting(table, **changed))
        return made[-1]

    yield collect
    for one in made:
        one.close()
    for transport in opened:
        # One whose login was refused waits for the server to take leave of it.
        transport.abort()
    # What was closed says so to the loop, which must hear it before it ends.
    await asyncio.sleep(0)


def _transports(loop: asyncio.AbstractEventLoop) -> list[asyncio.Transport]:
    """Return a list that gets every connection that this loop makes."""
    opened: list[asyncio.Transport] = []
    connect = loop.create_connection

    async def noted(*arguments: Any, **options: Any) -> Any:
        transport, protocol = await connect(*arguments, **options)
        opened.append(transport)
        return transport, protocol

    loop.create_connection = noted  # type: ignore[method-assign] # The loop ends with the test.
    return opened
