import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from insights_exporter.collectors.agent_stats import PostgresCollector
from tests.agent_stats.reading import Collect, collecting
from tests.support.agent_table import Table
from tests.support.postgres import postgres

__all__ = ["collector", "postgres"]


@pytest.fixture
async def collector() -> AsyncIterator[Collect]:
    made: list[PostgresCollector] = []

    def collect(table: Table, **changed: Any) -> PostgresCollector:
        made.append(collecting(table, **changed))
        return made[-1]

    yield collect
    for one in made:
        one.close()
    # What was closed says so to the loop, which must hear it before it ends.
    await asyncio.sleep(0)
