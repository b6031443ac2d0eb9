"""Reports by slices of time: counts them for good, in order, one while the database adds up the next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.row_aggregation import GroupIndex, RowAggregator, SessionColumn
from insights_exporter.agent_stats.postgres.table_schema import TableSchema
from insights_exporter.collectors.agent_stats.naming import NameLoader
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.telemetry import Telemetry

__all__ = ["BatchReader", "floor_to_minute"]

_MINUTE: Final = timedelta(minutes=1)

_QUEUE_CHUNK_LINES: Final = 100
_QUEUE_SIZE: Final = 200
"""How many pieces of so many lines of a slice may wait; the database waits where there are more."""


@dataclass(slots=True)
class _Batch:
    """Reports of a span, and lines about them that wait to be counted; None ends them."""

    begin: datetime
    end: datetime
    aggregator: RowAggregator
    queue: asyncio.Queue[list[str] | None] = field(default_factory=lambda: asyncio.Queue(_QUEUE_SIZE))

    async def enqueue(self, lines: list[str]) -> None:
        """Let lines wait."""
        for start in range(0, len(lines), _QUEUE_CHUNK_LINES):
            await self.queue.put(lines[start : start + _QUEUE_CHUNK_LINES])

    async def aggregate(self) -> None:
        """Count all lines as they come."""
        while (lines := await self.queue.get()) is not None:
            await self.aggregator.add_lines(lines)


class BatchReader:
    """Counts the reports of a table of one shape into a ledger.

    ``batch`` is how many reports a slice has at most; make it smaller after one that takes too long.
    """

    def __init__(
        self,
        settings: AgentStatsSettings,
        database: Database,
        names: NameLoader,
        accumulator: Accumulator,
        telemetry: Telemetry,
    ) -> None:
        self.batch_rows = self._max_batch_rows = settings.batch_rows
        self._database = database
        self._names = names
        self._accumulator = accumulator
        self._telemetry = telemetry
        self.set_schema(TableSchema(has_session_counts=False, has_usage=False))

    def set_schema(self, schema: TableSchema) -> None:
        """Take the table to have this shape from now on."""
        self._schema = schema
        self.session_column = SessionColumn(schema)
        self._group_index = GroupIndex(self._names.identities, self.session_column)

    async def aggregate(self, begin: datetime, end: datetime | None) -> RowAggregator:
        """Return the counts of a range; names of users that are newer than ours are asked for."""
        aggregator = await self._aggregate(begin, end)
        if self._names.identities.has_unknown_users:
            await self._names.load_users()
            aggregator = await self._aggregate(begin, end)
        return aggregator

    async def commit(self, cursor: datetime, end: datetime) -> None:
        """Count everything up to ``end`` for good; after a fault, slices before it are counted."""
        async with self._database.read_only_transaction():
            batch_end = await self._batch_end(cursor, end)
            if batch_end == end:
                aggregator = await self.aggregate(cursor, end)
            else:
                # Whoever is in reports that old has a name by now, so nobody needs to be asked for later.
                await self._names.load_users()
        if batch_end == end:
            await self._commit_aggregate(cursor, end, aggregator)
        else:
            await self._commit_batches(cursor, end)

    async def _commit_batches(self, cursor: datetime, end: datetime) -> None:
        """Use one connection, and so one core of the database: scrapes, and others, need some as well."""
        commit_lock = asyncio.Lock()
        previous_task: asyncio.Task[None] | None = None
        try:
            async with asyncio.TaskGroup() as task_group:
                while cursor < end:
                    try:
                        async with self._database.read_only_transaction():
                            batch = await self._next_batch(cursor, end)
                            task = task_group.create_task(self._commit_batch(batch, commit_lock))
                            await self._database.copy_lines(
                                self._query(batch.begin, batch.end), batch.enqueue
                            )
                            await batch.queue.put(None)
                    finally:
                        # Two slices at most are under way, and a fault of one leaves the other whole.
                        if previous_task is not None:
                            await previous_task
                    cursor, previous_task = batch.end, task
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _next_batch(self, cursor: datetime, end: datetime) -> _Batch:
        return _Batch(cursor, await self._batch_end(cursor, end), RowAggregator(self._group_index))

    async def _commit_batch(self, batch: _Batch, commit_lock: asyncio.Lock) -> None:
        """Count a slice for good after those that asked for it earlier."""
        async with commit_lock:
            await batch.aggregate()
            await self._commit_aggregate(batch.begin, batch.end, batch.aggregator)

    async def _aggregate(self, begin: datetime, end: datetime | None) -> RowAggregator:
        aggregator = RowAggregator(self._group_index)
        await self._database.copy_lines(self._query(begin, end), aggregator.add_lines)
        return aggregator

    def _query(self, begin: datetime, end: datetime | None) -> str:
        return queries.aggregate_query(
            self._schema, begin, end, by_user=self._names.by_user, exponential=self._accumulator.exponential
        )

    async def _commit_aggregate(self, begin: datetime, end: datetime, aggregator: RowAggregator) -> None:
        """Count a slice for good."""
        committed = await asyncio.to_thread(lambda: self._accumulator.committed.merge(aggregator.finish()))
        # From here on nothing may fail or wait: what is added and up to where belongs together.
        self._accumulator.committed = committed
        self._accumulator.cursor = end.isoformat()
        self._accumulator.late_rows.add_batch(begin, end, aggregator.row_count)
        self._telemetry.agent_rows_processed("observed", aggregator.observation_count)
        self._telemetry.agent_rows_processed(
            "unobserved", aggregator.row_count - aggregator.observation_count
        )
        self.batch_rows = min(self._max_batch_rows, self.batch_rows * 2)

    async def _batch_end(self, begin: datetime, end: datetime) -> datetime:
        """Return how far a batch reaches: to a whole minute, so that none is counted on both sides."""
        if end - begin <= _MINUTE:
            return end
        row_count, last_created_at = (
            await self._database.fetch(queries.BATCH_END, begin, end, self.batch_rows)
        )[0]
        if row_count < self.batch_rows:
            return end
        # The minute that the last report is in may go on beyond the batch.
        return max(floor_to_minute(last_created_at), begin + _MINUTE)


def floor_to_minute(at: datetime) -> datetime:
    """Return the minute that a moment is in; so that no minute is counted on both sides of a position."""
    return at.replace(second=0, microsecond=0)
