"""Batches: commits reports in contiguous time spans, in order.

While one batch is aggregated here, the database already computes the next one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.agent_stats.accumulator import Accumulator, CurrentSessions
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.queries import TableSchema
from insights_exporter.agent_stats.postgres.row_aggregation import (
    GroupIndex,
    NameLoader,
    RowAggregator,
    SessionColumn,
    parse_current_sessions,
)
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.telemetry import Telemetry

__all__ = ["MINUTE", "BatchReader", "floor_to_minute"]

MINUTE: Final = timedelta(minutes=1)

_QUEUE_CHUNK_LINES: Final = 100
_QUEUE_SIZE: Final = 200
"""Chunks of lines in the queue of a batch; a full queue blocks the database (backpressure)."""


@dataclass(slots=True)
class _Batch:
    """A time span with its aggregator and a queue of lines; None in the queue is the end."""

    begin: datetime
    end: datetime
    aggregator: RowAggregator
    queue: asyncio.Queue[list[str] | None] = field(default_factory=lambda: asyncio.Queue(_QUEUE_SIZE))

    async def enqueue(self, lines: list[str]) -> None:
        """Put lines into the queue; waits while it is full."""
        for start in range(0, len(lines), _QUEUE_CHUNK_LINES):
            await self.queue.put(lines[start : start + _QUEUE_CHUNK_LINES])

    async def aggregate(self) -> None:
        """Aggregate the lines of the queue until its end."""
        while (lines := await self.queue.get()) is not None:
            await self.aggregator.add_lines(lines)


class BatchReader:
    """Aggregates reports and commits them to the accumulator in batches.

    ``batch_rows`` is the maximum number of rows of a batch. ``shrink_batches`` halves it after a timeout;
    each committed batch doubles it again, up to ``agent_stats.batch_rows``.
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
        self._by_client = settings.by_client
        self._database = database
        self._names = names
        self._accumulator = accumulator
        self._telemetry = telemetry
        self.set_schema(TableSchema(has_session_counts=False, has_usage=False))

    def set_schema(self, schema: TableSchema) -> None:
        """Use this table schema for later queries."""
        self._schema = schema
        self._session_column = SessionColumn(schema, by_client=self._by_client)
        self._group_index = GroupIndex(self._names.identities, self._session_column)

    def shrink_batches(self) -> None:
        """Halve the maximum number of rows of a batch."""
        self.batch_rows = max(1, self.batch_rows // 2)

    async def aggregate(self, begin: datetime, end: datetime | None) -> RowAggregator:
        """Return the aggregator of a range; if users are unknown, load their names and repeat."""
        aggregator = await self._aggregate(begin, end)
        if self._names.identities.has_unknown_users:
            await self._names.load_users()
            aggregator = await self._aggregate(begin, end)
        return aggregator

    async def current_sessions(self, begin: datetime, end: datetime | None = None) -> CurrentSessions:
        """Return the sessions in the newest report of each agent in a range."""
        lines: list[str] = []

        async def collect(chunk: list[str]) -> None:
            lines.extend(chunk)

        await self._database.copy_lines(queries.current_sessions_query(self._schema, begin, end), collect)
        return parse_current_sessions(lines, self._names.identities, self._session_column)

    async def commit(self, cursor: datetime, end: datetime) -> None:
        """Commit all reports before ``end``; after an error, the batches before it are committed."""
        async with self._database.read_only_transaction():
            batch_end = await self._batch_end(cursor, end)
            if batch_end == end:
                aggregator = await self.aggregate(cursor, end)
            else:
                # These reports are older than the user list, so no batch meets an unknown user.
                await self._names.load_users()
        if batch_end == end:
            await self.commit_aggregate(cursor, end, aggregator)
        else:
            await self._commit_batches(cursor, end)

    async def _commit_batches(self, cursor: datetime, end: datetime) -> None:
        """Commit in several batches on one connection, which uses one core of the database."""
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
                        # At most two batches are in progress, and an error in one does not affect the other.
                        if previous_task is not None:
                            await previous_task
                    cursor, previous_task = batch.end, task
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _next_batch(self, cursor: datetime, end: datetime) -> _Batch:
        return _Batch(cursor, await self._batch_end(cursor, end), RowAggregator(self._group_index))

    async def _commit_batch(self, batch: _Batch, commit_lock: asyncio.Lock) -> None:
        """Aggregate a batch and commit it after its predecessors."""
        async with commit_lock:
            await batch.aggregate()
            await self.commit_aggregate(batch.begin, batch.end, batch.aggregator)

    async def _aggregate(self, begin: datetime, end: datetime | None) -> RowAggregator:
        aggregator = RowAggregator(self._group_index)
        await self._database.copy_lines(self._query(begin, end), aggregator.add_lines)
        return aggregator

    def _query(self, begin: datetime, end: datetime | None) -> str:
        return queries.aggregate_query(
            self._schema, begin, end, by_user=self._names.by_user, exponential=self._accumulator.exponential
        )

    async def commit_aggregate(self, begin: datetime, end: datetime, aggregator: RowAggregator) -> None:
        """Add an aggregator to the committed counts and advance the cursor."""
        committed = await asyncio.to_thread(lambda: self._accumulator.committed.merge(aggregator.finish()))
        # No await from here on: counts and cursor must change together.
        self._accumulator.committed = committed
        self._accumulator.cursor = end.isoformat()
        self._accumulator.late_rows.add_batch(begin, end, aggregator.row_count)
        self._telemetry.agent_rows_processed("observed", aggregator.observation_count)
        self._telemetry.agent_rows_processed(
            "unobserved", aggregator.row_count - aggregator.observation_count
        )
        self.batch_rows = min(self._max_batch_rows, self.batch_rows * 2)

    async def _batch_end(self, begin: datetime, end: datetime) -> datetime:
        """Return the end of a batch: a whole minute, so that session minutes are not split."""
        if end - begin <= MINUTE:
            return end
        row_count, last_created_at = (
            await self._database.fetch(queries.BATCH_END, begin, end, self.batch_rows)
        )[0]
        if row_count < self.batch_rows:
            return end
        # The minute of the last row may continue beyond the batch.
        return max(floor_to_minute(last_created_at), begin + MINUTE)


def floor_to_minute(at: datetime) -> datetime:
    """Return the start of the minute."""
    return at.replace(second=0, microsecond=0)
