"""The reader of coderd's metrics: samples the newest report of each agent, once a minute.

coderd collects the reports once a minute, so a scrape has new values only after a collection, whose count is
part of the scrape. A collection without a report leaves the previous values in place. A scrape without new
values is not counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, Self

from insights_exporter.agent_stats.accumulator import Accumulator, CurrentPeers, CurrentSessions
from insights_exporter.agent_stats.aggregate import Aggregate, bucket_index, bucket_number
from insights_exporter.agent_stats.coderd_metrics.cursor import ByteGaugeTracker, Bytes, SampleCursor
from insights_exporter.agent_stats.coderd_metrics.scrape import (
    OFFLOAD_ABOVE_CHARS,
    AgentName,
    AgentSample,
    AgentScrape,
    parse_scrape,
)
from insights_exporter.agent_stats.collector import COLLECTOR_NAME
from insights_exporter.clock import Clock
from insights_exporter.collectors.base import ErrorReporter, ReportedErrors
from insights_exporter.errors import AgentStatsError
from insights_exporter.interpreter_tuning import yielding
from insights_exporter.snapshot import Inventory, TemplateKey, Timestamped, User
from insights_exporter.telemetry import Telemetry

__all__ = ["COLLECT_INTERVAL", "CoderdMetricsReader", "WorkspaceIndex"]

COLLECT_INTERVAL: Final = 60.0
"""Seconds between two collections of coderd."""

STALE_AFTER: Final = 2.5 * COLLECT_INTERVAL
"""Seconds after which unchanged values mean that no agent is connected."""

_INVENTORY_POLL_INTERVAL: Final = 1.0
"""Seconds between two checks for the first inventory."""

_RESULTS: Final = ("observed", "unobserved", "repeated", "unmatched")
"""Values of the label ``result`` for the agents of a scrape."""


class CoderdMetricsReader:
    """Adds scrapes of coderd's metrics to an accumulator.

    ``fetch`` returns the text of a scrape. ``inventory`` returns the latest inventory, None before the first
    poll. ``identity`` identifies the deployment. ``interval`` is the scrape interval in seconds.
    ``by_client`` counts sessions by client program in place of app family.
    ``on_state_rejected`` receives the reason before a state of another source or deployment is dropped.
    """

    def __init__(  # noqa: PLR0913  # Clock, telemetry and the two sources are injected.
        self,
        accumulator: Accumulator,
        *,
        fetch: Callable[[], Awaitable[str]],
        inventory: Callable[[], Timestamped[Inventory] | None],
        identity: str,
        interval: float,
        by_client: bool = False,
        clock: Clock,
        telemetry: Telemetry,
        on_state_rejected: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._accumulator = accumulator
        self._fetch = fetch
        self._inventory = inventory
        self._identity = identity
        self._interval = interval
        self._by_client = by_client
        self._clock = clock
        self._telemetry = telemetry
        self._on_state_rejected = on_state_rejected
        self._byte_gauges: ByteGaugeTracker | None = None
        self._workspace_index: tuple[object, WorkspaceIndex] | None = None
        self._users: object = None
        self._replica_seen_at: float | None = None
        self._last_collection_at: float | None = None
        # Never finished: alternating replicas would be logged at every second scrape.
        self._errors = ErrorReporter(COLLECTOR_NAME, telemetry=telemetry, reported=ReportedErrors())

    def close(self) -> None:
        """Do nothing: the owner of ``fetch`` closes its connections."""

    async def read(self) -> None:
        """Add the values of a new scrape; raise ExporterError, after which nothing was added."""
        inventory = await self._wait_for_inventory()
        scrape = await self._fetch_scrape()
        workspace_index = self._index_workspaces(inventory)
        if scrape.invalid_values:
            message = f"Ignored {scrape.invalid_values} invalid values in coderd's metrics."
            self._errors.report(AgentStatsError(message, reason="metrics_values"))
        cursor = self._resume_cursor()
        self._accumulator.templates = tuple(template.key for template in inventory.templates)
        await self._apply_renames(inventory)
        matches = self._match_workspaces(scrape, workspace_index, inventory)
        if cursor is None or not cursor.is_other_replica(scrape):
            self._accumulator.current_peers = self._current_peers(scrape, workspace_index)
        if cursor is None:
            # The age of the first values is unknown, so they are only a baseline.
            self._start_counting(scrape, matches)
        elif cursor.is_other_replica(scrape):
            self._ignore_other_replica(scrape, matches)
        else:
            await self._apply_scrape(scrape, cursor, matches)
        if self._last_collection_at is not None:
            self._telemetry.agent_lag_updated(self._clock.monotonic() - self._last_collection_at)

    async def _wait_for_inventory(self) -> Inventory:
        """Return the latest inventory, after the first poll."""
        waited_seconds = 0.0
        while (latest := self._inventory()) is None:
            if waited_seconds >= self._interval:
                raise AgentStatsError(
                    "The first poll has not listed workspaces yet, so agents cannot be matched to templates.",
                    reason="workspaces_unknown",
                )
            await self._clock.sleep(_INVENTORY_POLL_INTERVAL)
            waited_seconds += _INVENTORY_POLL_INTERVAL
        return latest.value

    async def _fetch_scrape(self) -> AgentScrape:
        text = await self._fetch()
        parse = partial(parse_scrape, text, by_client=self._by_client)
        return parse() if len(text) < OFFLOAD_ABOVE_CHARS else await asyncio.to_thread(parse)

    def _resume_cursor(self) -> SampleCursor | None:
        """Return the cursor of the last scrape; None after a reset."""
        accumulator = self._accumulator
        cursor = SampleCursor.loads(accumulator.cursor)
        if accumulator.since is not None and accumulator.identity != self._identity:
            self._on_state_rejected("identity: expected the configured deployment, got another one")
            cursor = None
        elif accumulator.since is not None and cursor is None and accumulator.cursor:
            self._on_state_rejected("position: expected a cursor of the source coderd_metrics")
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

    async def _apply_renames(self, inventory: Inventory) -> None:
        """Detect renamed users in a worker thread, because hashing thousands of names takes long."""
        if self._users is not inventory.users:
            await asyncio.to_thread(self._set_usernames, inventory.users)
            self._users = inventory.users
            self._accumulator.apply_renames()

    def _set_usernames(self, users: Iterable[User]) -> None:
        for user in yielding(users):
            self._accumulator.pseudonyms.set_username(user.id, user.username)

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
                "The token's account sees no workspaces, so agents cannot be matched to templates. "
                "Give the account the role template-admin.",
                reason="workspaces_unknown",
            )
        return matches

    def _ignore_other_replica(
        self, scrape: AgentScrape, matches: dict[AgentName, tuple[TemplateKey, AgentSample]]
    ) -> None:
        """Ignore the scrape of another replica, unless the followed replica is gone."""
        if self._replica_seen_at is None or self._clock.monotonic() - self._replica_seen_at > STALE_AFTER:
            self._start_counting(scrape, matches)
            return
        self._errors.report(
            AgentStatsError(
                "Ignored the metrics of a second coderd replica. "
                "Set agent_stats.metrics_url to the address of one replica.",
                reason="several_replicas",
            )
        )

    def _start_counting(
        self, scrape: AgentScrape, matches: dict[AgentName, tuple[TemplateKey, AgentSample]]
    ) -> None:
        assert self._byte_gauges is not None  # noqa: S101  # Set by _resume_cursor.
        self._byte_gauges.start(scrape.agents)
        for result in _RESULTS:
            # increase() misses the first value of a series that does not start at 0.
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
        assert self._byte_gauges is not None  # noqa: S101  # Set by _resume_cursor.
        at = self._clock.now().timestamp()
        if self._last_collection_at is None or cursor.is_newer(scrape):
            # A collection without new values also proves that coderd collects.
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
        # Sessions last until the next collection, and never longer than the elapsed time.
        elapsed = min(max(0.0, at - cursor.changed_at), max(self._interval, COLLECT_INTERVAL))
        aggregate = self._aggregate(matches, byte_deltas, elapsed)
        committed = await asyncio.to_thread(self._accumulator.committed.merge, aggregate)
        # No await from here on: counts and cursor must change together.
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
        self._telemetry.agent_rows_processed("unmatched", len(scrape.agents) - len(matches))

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
                bucket = bucket_number(agent_sample.latency)
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

    def _current_peers(self, scrape: AgentScrape, workspace_index: WorkspaceIndex) -> CurrentPeers | None:
        if scrape.peers is None:
            return None
        current = CurrentPeers()
        for agent, peers in scrape.peers.items():
            key = workspace_index.template(agent[0], agent[1])
            if key is not None:
                current.add(key, self._accumulator.pseudonyms.display_name(agent[0]), peers)
        return current

    def _store_cursor(self, cursor: SampleCursor) -> None:
        self._replica_seen_at = self._clock.monotonic()
        self._accumulator.cursor = cursor.dumps()


def _current_sessions(matches: dict[AgentName, tuple[TemplateKey, AgentSample]]) -> CurrentSessions:
    current = CurrentSessions()
    for key, agent_sample in matches.values():
        current.connections[key] = current.connections.get(key, 0) + agent_sample.connections
        for app, count in agent_sample.sessions.items():
            session_key = (*key, app)
            current.sessions[session_key] = current.sessions.get(session_key, 0) + count
    return current


class WorkspaceIndex:
    """Templates by owner and name of the workspace.

    Both identify a workspace, which has one template, so the agent's name is not needed. If two workspaces
    have the same owner and name, for example while a list changes between two pages, both are unmatched.
    """

    def __init__(self, templates: dict[tuple[str, str], TemplateKey | None]) -> None:
        self._templates = templates

    @classmethod
    def from_workspaces(cls, workspaces: Iterable[tuple[str, str, TemplateKey]]) -> Self:
        """Return the index of (owner, workspace, template) tuples."""
        templates: dict[tuple[str, str], TemplateKey | None] = {}
        for owner, name, key in workspaces:
            # Coder compares names without case.
            workspace_key = owner.casefold(), name.casefold()
            templates[workspace_key] = key if templates.get(workspace_key, key) == key else None
        return cls(templates)

    def template(self, owner: str, workspace: str) -> TemplateKey | None:
        """Return the template of a workspace; None if it is unknown or ambiguous."""
        return self._templates.get((owner.casefold(), workspace.casefold()))
