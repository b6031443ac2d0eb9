"""Agent reports as coderd's own metrics show them: the newest one of each agent, once a minute.

coderd looks at the reports at its own ticks, so a page is new only where a tick came between; the number of
ticks is on the page. One that found no report leaves everything as it was, which looks like the same values
again. Neither counts.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Final

from insights_exporter.agent_stats.accumulator import Accumulator, CurrentSessions
from insights_exporter.agent_stats.aggregate import Aggregate
from insights_exporter.agent_stats.coderd_metrics.counters import ByteGaugeTracker, Bytes
from insights_exporter.agent_stats.coderd_metrics.cursor import SampleCursor
from insights_exporter.agent_stats.coderd_metrics.scrape import (
    OFFLOAD_ABOVE_CHARS,
    AgentName,
    AgentSample,
    AgentScrape,
    parse_scrape,
)
from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats.exponential import bucket_index
from insights_exporter.collectors.agent_stats.faults import AgentStatsError
from insights_exporter.collectors.agent_stats.roster import WorkspaceIndex
from insights_exporter.collectors.agent_stats.source import COLLECTOR_NAME
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.snapshot import Inventory, TemplateKey, Timestamped
from insights_exporter.telemetry import Telemetry

__all__ = ["COLLECT_INTERVAL", "CoderdMetricsReader"]

logger = logging.getLogger(__name__)

COLLECT_INTERVAL: Final = 60.0
"""Seconds between two looks that coderd takes at its reports."""

STALE_AFTER: Final = 2.5 * COLLECT_INTERVAL
"""Seconds after which values that stand still mean that nobody is connected."""

_INVENTORY_POLL_INTERVAL: Final = 1.0
_RESULTS: Final = ("observed", "unobserved", "repeated", "unjoined")
"""What becomes of an agent on a page."""


class CoderdMetricsReader:
    """Reads a page each time it is told to, into a ledger.

    ``fetch`` returns the page. ``inventory`` is what was last known to exist, None before anything is.
    ``identity`` names the deployment, as its counts must not be added to another's. ``foreign`` hears why
    what the ledger held cannot be added to, before it begins anew.
    """

    def __init__(
        self,
        accumulator: Accumulator,
        *,
        fetch: Callable[[], Awaitable[str]],
        inventory: Callable[[], Timestamped[Inventory] | None],
        identity: str,
        interval: float,
        clock: Clock,
        telemetry: Telemetry,
        on_state_rejected: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._accumulator = accumulator
        self._fetch = fetch
        self._inventory = inventory
        self._identity = identity
        self._interval = interval
        self._clock = clock
        self._telemetry = telemetry
        self._on_state_rejected = on_state_rejected
        self._byte_gauges: ByteGaugeTracker | None = None
        self._workspace_index: tuple[object, WorkspaceIndex] | None = None
        self._replica_seen_at: float | None = None
        self._last_collection_at: float | None = None
        self._warned_reasons: set[str] = set()

    def close(self) -> None:
        """Do nothing; whoever gave ``fetch`` closes its connections."""

    async def read(self) -> None:
        """Count what is new; raise an ExporterError, after which nothing was counted."""
        inventory = await self._wait_for_inventory()
        scrape = await self._fetch_scrape()
        workspace_index = self._index_workspaces(inventory)
        if scrape.invalid_values:
            self._warn_once(
                "metrics_values", "Values in coderd's metrics are none.", count=scrape.invalid_values
            )
        cursor = self._resume_cursor()
        self._accumulator.templates = tuple(template.key for template in inventory.templates)
        matches = self._match_workspaces(scrape, workspace_index, inventory)
        if cursor is None:
            # Whether these values are fresh or stand still for hours, nobody can tell.
            self._start_counting(scrape, matches)
        elif cursor.is_other_replica(scrape):
            self._ignore_other_replica(scrape, matches)
        else:
            await self._apply_scrape(scrape, cursor, matches)
        if self._last_collection_at is not None:
            self._telemetry.agent_lag_updated(self._clock.monotonic() - self._last_collection_at)

    async def _wait_for_inventory(self) -> Inventory:
        """Return what exists; the first poll may still be under way."""
        waited_seconds = 0.0
        while (latest := self._inventory()) is None:
            if waited_seconds >= self._interval:
                raise AgentStatsError(
                    "The workspaces are not known yet, so agents cannot be told to belong to templates.",
                    reason="workspaces_unknown",
                )
            await self._clock.sleep(_INVENTORY_POLL_INTERVAL)
            waited_seconds += _INVENTORY_POLL_INTERVAL
        return latest.value

    async def _fetch_scrape(self) -> AgentScrape:
        text = await self._fetch()
        return (
            parse_scrape(text)
            if len(text) < OFFLOAD_ABOVE_CHARS
            else await asyncio.to_thread(parse_scrape, text)
        )

    def _resume_cursor(self) -> SampleCursor | None:
        """Return where the last page was; None where counting must begin."""
        accumulator = self._accumulator
        cursor = SampleCursor.loads(accumulator.cursor)
        if accumulator.since is not None and accumulator.identity != self._identity:
            self._on_state_rejected("It holds counts of another deployment.")
            cursor = None
        elif accumulator.since is not None and cursor is None and accumulator.cursor:
            self._on_state_rejected("It does not say up to where was counted.")
        if cursor is None:
            accumulator.reset(self._clock.now(), identity=self._identity)
        if self._byte_gauges is None or cursor is None:
            self._byte_gauges = ByteGaugeTracker(
                resets_each_collection=cursor is not None and cursor.resets_each_collection
            )
        return cursor

    def _index_workspaces(self, inventory: Inventory) -> WorkspaceIndex:
        if self._workspace_index is None or self._workspace_index[0] is not inventory.workspaces:
            workspace_index = WorkspaceIndex.from_workspaces(
                (workspace.owner, workspace.name, workspace.key) for workspace in inventory.workspaces
            )
            self._workspace_index = inventory.workspaces, workspace_index
        return self._workspace_index[1]

    def _match_workspaces(
        self, scrape: AgentScrape, workspace_index: WorkspaceIndex, inventory: Inventory
    ) -> dict[AgentName, tuple[TemplateKey, AgentSample]]:
        matches = {
            agent: (key, agent_sample)
            for agent, agent_sample in scrape.agents.items()
            if (key := workspace_index.template(agent[0], agent[1])) is not None
        }
        if scrape.agents and not inventory.workspaces:
            raise AgentStatsError(
                "No workspace is visible, so agents cannot be told to belong to templates. "
                "Give the token's account the role template-admin.",
                reason="workspaces_unknown",
            )
        return matches

    def _ignore_other_replica(
        self, scrape: AgentScrape, matches: dict[AgentName, tuple[TemplateKey, AgentSample]]
    ) -> None:
        """Leave the page of another replica alone, unless the one that is followed seems to be gone."""
        if self._replica_seen_at is None or self._clock.monotonic() - self._replica_seen_at > STALE_AFTER:
            self._start_counting(scrape, matches)
            return
        self._warn_once(
            "several_replicas",
            "Several replicas of Coder answer at the metrics address; only the newest counts. "
            "Let agent_stats.metrics_url name one of them.",
        )

    def _start_counting(
        self, scrape: AgentScrape, matches: dict[AgentName, tuple[TemplateKey, AgentSample]]
    ) -> None:
        assert self._byte_gauges is not None
        self._byte_gauges.start(scrape.agents)
        for result in _RESULTS:
            # What first appears later than at the start would be no increase.
            self._telemetry.agent_rows_processed(result, 0)
        self._accumulator.current_sessions = _current_sessions(matches)
        at = self._clock.now().timestamp()
        self._last_collection_at = self._clock.monotonic()
        resets_each_collection = self._byte_gauges.resets_each_collection
        self._store_cursor(
            SampleCursor(
                scrape.start_time,
                scrape.collection_count,
                scrape.fingerprint,
                at,
                resets_each_collection=resets_each_collection,
            )
        )

    async def _apply_scrape(
        self,
        scrape: AgentScrape,
        cursor: SampleCursor,
        matches: dict[AgentName, tuple[TemplateKey, AgentSample]],
    ) -> None:
        assert self._byte_gauges is not None
        at = self._clock.now().timestamp()
        if self._last_collection_at is None or cursor.is_newer(scrape):
            # Also a look that found nothing is as good as new.
            self._last_collection_at = self._clock.monotonic()
        if not cursor.has_changed(scrape):
            self._telemetry.agent_rows_processed("repeated", len(scrape.agents))
            if at - cursor.changed_at > STALE_AFTER:
                self._accumulator.current_sessions = CurrentSessions()
            self._store_cursor(cursor.advance_to(scrape))
            return
        restarted = cursor.is_restarted(scrape)
        byte_deltas = self._byte_gauges.update(
            scrape.agents, restarted=restarted, detects_restart=scrape.detects_restart
        )
        # What a tick tells of holds until the next one, and never longer than has really passed.
        elapsed = min(max(0.0, at - cursor.changed_at), max(self._interval, COLLECT_INTERVAL))
        aggregate = self._aggregate(matches, byte_deltas, elapsed)
        committed = await asyncio.to_thread(self._accumulator.committed.merge, aggregate)
        # From here on nothing may fail or wait: what is added and up to where belongs together.
        self._accumulator.committed = committed
        self._accumulator.current_sessions = _current_sessions(matches)
        self._store_cursor(
            SampleCursor(
                scrape.start_time,
                scrape.collection_count,
                scrape.fingerprint,
                at,
                resets_each_collection=self._byte_gauges.resets_each_collection,
            )
        )
        self._telemetry.agent_rows_processed("unjoined", len(scrape.agents) - len(matches))

    def _aggregate(
        self,
        matches: dict[AgentName, tuple[TemplateKey, AgentSample]],
        byte_deltas: dict[AgentName, Bytes],
        elapsed: float,
    ) -> Aggregate:
        aggregate, observed_count = Aggregate(), 0
        open_sessions: set[tuple[TemplateKey, str, str]] = set()
        for agent, (key, agent_sample) in matches.items():
            received, transmitted = byte_deltas.get(agent, (0, 0))
            aggregate.add_traffic(key, received=received, transmitted=transmitted)
            user = self._accumulator.pseudonyms.display_name(agent[0]) if agent_sample.sessions else None
            if user is not None:
                open_sessions.update((key, user, app) for app in agent_sample.sessions)
            if agent_sample.sessions and agent_sample.latency is not None:
                observed_count += 1
                bucket = bisect_left(LATENCY_BUCKETS, agent_sample.latency)
                exponential_bucket = (
                    bucket_index(agent_sample.latency) if self._accumulator.exponential else None
                )
                aggregate.observe(
                    key,
                    user,
                    agent_sample.sessions,
                    bucket=bucket,
                    seconds=agent_sample.latency,
                    exponential_bucket=exponential_bucket,
                )
        for key, user, app in open_sessions:
            aggregate.add_session_time(key, user, app, seconds=elapsed)
        self._telemetry.agent_rows_processed("observed", observed_count)
        self._telemetry.agent_rows_processed("unobserved", len(matches) - observed_count)
        return aggregate

    def _store_cursor(self, cursor: SampleCursor) -> None:
        self._replica_seen_at = self._clock.monotonic()
        self._accumulator.cursor = cursor.dumps()

    def _warn_once(self, reason: str, message: str, **extra: object) -> None:
        """Count a fault that does not end a reading, and tell of it once."""
        self._telemetry.collector_error(COLLECTOR_NAME, reason)
        if reason not in self._warned_reasons:
            self._warned_reasons.add(reason)
            logger.warning(message, extra={"collector": COLLECTOR_NAME, "reason": reason, **extra})


def _current_sessions(matches: dict[AgentName, tuple[TemplateKey, AgentSample]]) -> CurrentSessions:
    current = CurrentSessions()
    for key, agent_sample in matches.values():
        current.connections[key] = current.connections.get(key, 0) + agent_sample.connections
        for app, count in agent_sample.sessions.items():
            session_key = (*key, app)
            current.sessions[session_key] = current.sessions.get(session_key, 0) + count
    return current
