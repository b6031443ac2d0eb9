"""The accumulator: counts of agent reports since a start time, and the statistics that are served."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Final, TypeVar

from insights_exporter.agent_stats.aggregate import (
    APP_FAMILIES,
    BUCKET_COUNT,
    NO_EXPONENTIAL_BUCKETS,
    Aggregate,
    HistogramCounts,
    merge_histograms,
    merge_sums,
    rename_users,
    zip_users,
)
from insights_exporter.agent_stats.late_rows import CommittedBatch, LateRowDetector
from insights_exporter.metrics.packed_counts import any_decreased
from insights_exporter.privacy import Filters, UsernamePolicy
from insights_exporter.snapshot import AgentStats, LatencyHistogram, TemplateKey

__all__ = ["CONNECTION_TYPES", "Accumulator", "CurrentPeers", "CurrentSessions", "PseudonymMap"]

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class CurrentSessions:
    """Current gauges: sessions by (organization, template, app), connections by (organization, template)."""

    sessions: dict[tuple[str, str, str], int] = field(default_factory=dict)
    connections: dict[tuple[str, str], int] = field(default_factory=dict)


CONNECTION_TYPES: Final = ("p2p", "derp")
"""Direct connections between client and agent, and those through a relay."""


@dataclass(slots=True)
class CurrentPeers:
    """Reachable peers of agents by (organization, template, connection type), in total and by user."""

    total: dict[tuple[str, str, str], int] = field(default_factory=dict)
    by_user: dict[tuple[str, str, str], dict[str, float]] = field(default_factory=dict)

    def add(self, template: TemplateKey, user: str | None, peers: Mapping[str, int]) -> None:
        """Add the peers of an agent; a user without any peer has no series."""
        for connection_type in dict.fromkeys((*CONNECTION_TYPES, *peers)):
            key, count = (*template, connection_type), peers.get(connection_type, 0)
            self.total[key] = self.total.get(key, 0) + count
            if user is not None and any(peers.values()):
                users = self.by_user.setdefault(key, {})
                users[user] = users.get(user, 0.0) + count


class Accumulator:
    """Sums the aggregates of a source.

    ``committed`` is final and is what the state file stores; ``cursor`` is the source's position up to which
    reports are committed. ``uncommitted`` is replaced at each reading, until its reports are old enough that
    no late report can follow; a source whose reports are final at once leaves it empty. ``since`` is when
    counting started.

    Users are keyed by display name: pseudonymized once, when a report is counted, so that the state file and
    the served series hold identical names. ``exponential`` adds exponential buckets to the explicit ones.
    """

    def __init__(
        self, username_policy: UsernamePolicy, filters: Filters, *, exponential: bool = False
    ) -> None:
        self.filters = filters
        self.exponential = exponential
        self.pseudonyms = PseudonymMap(username_policy, filters)
        self.committed = Aggregate()
        self.uncommitted = Aggregate()
        self.current_sessions = CurrentSessions()
        self.current_peers: CurrentPeers | None = None
        """None if the source has no peers."""
        self.late_rows = LateRowDetector()
        self.since: datetime | None = None
        self.cursor = ""
        self.identity = ""
        """The deployment of the counts; counts of different deployments must not be summed."""
        self.templates: tuple[TemplateKey, ...] = ()
        """Existing templates; their series without reports are 0."""
        self._previous: AgentStats | None = None
        self.clamped = 0
        """Counters that decreased in the last snapshot and were held at their previous value."""

    def reset(
        self, since: datetime, *, identity: str, cursor: str = "", batches: Iterable[CommittedBatch] = ()
    ) -> None:
        """Drop all counts and start counting at ``since``."""
        self.committed, self.uncommitted, self.current_sessions = Aggregate(), Aggregate(), CurrentSessions()
        self.current_peers = None
        self.late_rows = LateRowDetector(batches)
        self.since, self.identity, self.cursor = since, identity, cursor
        self._previous = None

    @property
    def revision(self) -> object:
        """A value that changes whenever the state file must be written."""
        return self.cursor, self.late_rows.batches

    def apply_renames(self) -> None:
        """Move the counts of renamed users to their new names.

        The series of the new name continues at the value of the old one, so no counter decreases. If the new
        name already has counts, for example of a deleted user, both are summed.
        """
        renames = self.pseudonyms.take_renames()
        if not renames:
            return
        self.committed.rename_users(renames)
        self.uncommitted.rename_users(renames)
        if self._previous is not None:
            self._previous = replace(
                self._previous,
                latency=rename_users(self._previous.latency, renames, _larger_histogram),
                session_seconds=rename_users(self._previous.session_seconds, renames, max),
            )

    def snapshot(self, *, new_from_zero: bool = True) -> AgentStats:
        """Return the statistics; a label set that is new since the previous snapshot starts at 0.

        Without the 0, ``increase()`` would miss its first reports. In the first snapshot all label sets have
        their value: after a restart, a 0 would be a counter reset. ``new_from_zero=False`` returns all values
        at once, for a caller that writes the 0 itself. Raises RuntimeError before ``reset``.
        """
        if self.since is None:
            raise RuntimeError("snapshot() requires reset() or a restored state")
        previous, self.clamped = self._previous or AgentStats(self.since), 0
        is_complete = self._previous is None or not new_from_zero
        committed, uncommitted = self.committed, self.uncommitted
        apps = dict(merge_histograms(committed.app_latency, uncommitted.app_latency))
        received = dict(merge_sums(committed.received, uncommitted.received))
        transmitted = dict(merge_sums(committed.transmitted, uncommitted.transmitted))
        for template in self.templates:
            for app in APP_FAMILIES:
                apps.setdefault((*template, app), HistogramCounts())
            received.setdefault(template, 0)
            transmitted.setdefault(template, 0)
        stats = AgentStats(
            since=self.since,
            latency={
                key: self._histograms(
                    merge_histograms(left, right),
                    previous.latency.get(key, {}),
                    created=self.since,
                    is_complete=is_complete,
                )
                for key, left, right in zip_users(committed.latency, uncommitted.latency)
            },
            app_latency=self._histograms(
                apps.items(), previous.app_latency, created=self.since, is_complete=is_complete
            ),
            session_seconds={
                key: self._counter_values(
                    merge_sums(left, right), previous.session_seconds.get(key, {}), is_complete=is_complete
                )
                for key, left, right in zip_users(committed.session_seconds, uncommitted.session_seconds)
            },
            sessions=self._session_counts(),
            connections={
                template: self.current_sessions.connections.get(template, 0)
                for template in self._with_known_templates(self.current_sessions.connections)
            },
            received_bytes=self._counter_values(
                received.items(), previous.received_bytes, is_complete=is_complete
            ),
            transmitted_bytes=self._counter_values(
                transmitted.items(), previous.transmitted_bytes, is_complete=is_complete
            ),
            peer_connections=self._peer_counts(),
            user_peer_connections={} if self.current_peers is None else self.current_peers.by_user,
            exponential=self.exponential,
        )
        self._previous = stats
        return stats

    def _session_counts(self) -> dict[tuple[str, str, str], int]:
        zeros = {(*template, app): 0 for template in self.templates for app in APP_FAMILIES}
        return zeros | self.current_sessions.sessions

    def _peer_counts(self) -> dict[tuple[str, str, str], int]:
        if self.current_peers is None:
            return {}
        zeros = {(*template, one): 0 for template in self.templates for one in CONNECTION_TYPES}
        return zeros | self.current_peers.total

    def _with_known_templates(self, templates: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
        return dict.fromkeys(chain(self.templates, templates))

    def _histograms(
        self,
        counts_by_key: Iterable[tuple[K, HistogramCounts]],
        previous: Mapping[K, LatencyHistogram],
        *,
        created: datetime,
        is_complete: bool,
    ) -> dict[K, LatencyHistogram]:
        histograms: dict[K, LatencyHistogram] = {}
        for key, counts in counts_by_key:
            previous_histogram, packed_counts = previous.get(key), counts.packed_counts
            if previous_histogram is not None and packed_counts == previous_histogram.packed_counts:
                histograms[key] = previous_histogram
            elif previous_histogram is not None and any_decreased(
                packed_counts, previous_histogram.packed_counts, BUCKET_COUNT
            ):
                self.clamped += 1
                histograms[key] = previous_histogram
            elif previous_histogram is not None or is_complete:
                histograms[key] = LatencyHistogram(
                    packed_counts,
                    BUCKET_COUNT,
                    counts.total,
                    created,
                    counts.exponential_buckets or NO_EXPONENTIAL_BUCKETS,
                )
            else:
                histograms[key] = LatencyHistogram(0, BUCKET_COUNT, 0.0, created)
        return histograms

    def _counter_values(
        self, totals: Iterable[tuple[K, float]], previous: Mapping[K, float], *, is_complete: bool
    ) -> dict[K, float]:
        values: dict[K, float] = {}
        for key, value in totals:
            previous_value = previous.get(key)
            if previous_value is None:
                values[key] = float(value) if is_complete else 0.0
            else:
                self.clamped += value < previous_value
                values[key] = float(max(value, previous_value))
        return values


def _larger_histogram(left: LatencyHistogram, right: LatencyHistogram) -> LatencyHistogram:
    """Return the histogram with more observations."""
    return left if left.sum >= right.sum else right


class PseudonymMap:
    """Display names of users, and renames of users whose id is known."""

    def __init__(self, username_policy: UsernamePolicy, filters: Filters) -> None:
        self.username_policy = username_policy
        self._filters = filters
        self._display_names: dict[str, str | None] = {}
        self._display_names_by_id: dict[str, str | None] = {}
        self._restored_by_id: dict[str, str] = {}
        self._pseudonymized_ids: dict[str, str] = {}
        self._renames: dict[str, str | None] = {}

    def display_name(self, username: str) -> str | None:
        """Return the username or its pseudonym; None if the user is not exported."""
        try:
            return self._display_names[username]
        except KeyError:
            display_name = (
                self.username_policy.pseudonymize(username) if self._filters.allows_user(username) else None
            )
            self._display_names[username] = display_name
            return display_name

    def set_username(self, user_id: str, username: str) -> str | None:
        """Set the current username of an account and return its display name; a rename is recorded."""
        display_name = self.display_name(username)
        previous = self._display_names_by_id.get(user_id)
        if user_id not in self._display_names_by_id and self._restored_by_id:
            previous = self._restored_by_id.pop(self.username_policy.pseudonymize(user_id) or "", None)
        self._display_names_by_id[user_id] = display_name
        if previous is not None and previous != display_name:
            self._renames[previous] = display_name
        return display_name

    def take_renames(self) -> dict[str, str | None]:
        """Return new by old display name since the last call; None for a user who is no longer exported."""
        renames, self._renames = self._renames, {}
        return renames

    def export_ids(self, users: Collection[str]) -> dict[str, str]:
        """Return the display names by pseudonymized id, for a state file with counts of these users."""
        by_id = dict(self._restored_by_id)
        for user_id, display_name in self._display_names_by_id.items():
            if display_name is not None and display_name in users:
                if user_id not in self._pseudonymized_ids:
                    self._pseudonymized_ids[user_id] = self.username_policy.pseudonymize(user_id) or ""
                by_id[self._pseudonymized_ids[user_id]] = display_name
        return {user_id: display_name for user_id, display_name in by_id.items() if display_name in users}

    def restore_ids(self, display_names_by_id: Mapping[str, str]) -> None:
        """Set the display names of a restored state, by pseudonymized id."""
        self._restored_by_id = dict(display_names_by_id)
