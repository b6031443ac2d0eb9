"""All that was counted, and what is served of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import TypeVar

from insights_exporter.agent_stats.aggregate import (
    BUCKET_COUNT,
    NO_EXPONENTIAL_BUCKETS,
    Aggregate,
    HistogramCounts,
    merge_histograms,
    merge_sums,
    zip_users,
)
from insights_exporter.agent_stats.app_families import APP_FAMILIES
from insights_exporter.agent_stats.late_rows import CommittedBatch, LateRowDetector
from insights_exporter.collectors.agent_stats.people import PseudonymMap
from insights_exporter.filters import Filters
from insights_exporter.metrics.packed_counts import any_decreased
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import AgentStats, LatencyHistogram, TemplateKey

__all__ = ["Accumulator", "CurrentSessions"]

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class CurrentSessions:
    """What is open at this moment: sessions by template and app, connections by template."""

    sessions: dict[tuple[str, str, str], int] = field(default_factory=dict)
    connections: dict[tuple[str, str], int] = field(default_factory=dict)


class Accumulator:
    """Adds up what a source counts.

    ``closed`` is counted for good and is what a state file keeps; ``position`` says, in the words of the
    source, up to where. ``open`` is counted anew at each reading, until it is old enough that nothing comes
    late; a source that never counts anything twice leaves it empty. ``since`` is when counting began.

    Users are counted as shown; ``people`` says how that is. ``exponential`` asks for exponential buckets of
    latencies beside the explicit ones.
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
        self.late_rows = LateRowDetector()
        self.since: datetime | None = None
        self.cursor = ""
        self.identity = ""
        """Whose reports were counted: another deployment's must not be added to them."""
        self.templates: tuple[TemplateKey, ...] = ()
        """Those that exist: what they have nothing of is zero."""
        self._previous: AgentStats | None = None
        self.clamped = 0
        """How many totals fell in the last statement and were held."""

    def reset(
        self, since: datetime, *, identity: str, cursor: str = "", batches: Iterable[CommittedBatch] = ()
    ) -> None:
        """Forget everything and count from a moment on."""
        self.committed, self.uncommitted, self.current_sessions = Aggregate(), Aggregate(), CurrentSessions()
        self.late_rows = LateRowDetector(batches)
        self.since, self.identity, self.cursor = since, identity, cursor
        self._previous = None

    @property
    def revision(self) -> object:
        """What changes whenever there is something new to keep on disk."""
        return self.cursor, self.late_rows.batches

    def snapshot(self) -> AgentStats:
        """Return what is known; a label set that is new since the last statement is 0 once.

        Without that, ``increase()`` would lose its first value. In the first statement all stand at their
        value: after a restart a zero would look like a reset.
        """
        if self.since is None:
            raise RuntimeError("Nothing is known before counting began.")
        previous, self.clamped = self._previous or AgentStats(self.since), 0
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
                key: self._distributions(
                    self._with_usernames(merge_histograms(one, more)), previous.latency.get(key, {})
                )
                for key, one, more in zip_users(committed.latency, uncommitted.latency)
            },
            app_latency=self._distributions(apps.items(), previous.app_latency),
            session_seconds={
                key: self._counter_values(
                    self._with_usernames(merge_sums(one, more)), previous.session_seconds.get(key, {})
                )
                for key, one, more in zip_users(committed.session_seconds, uncommitted.session_seconds)
            },
            sessions=self._session_counts(),
            connections={
                one: self.current_sessions.connections.get(one, 0)
                for one in self._with_known_templates(self.current_sessions.connections)
            },
            received_bytes=self._counter_values(received.items(), previous.received_bytes),
            transmitted_bytes=self._counter_values(transmitted.items(), previous.transmitted_bytes),
            exponential=self.exponential,
        )
        self._previous = stats
        return stats

    def _session_counts(self) -> dict[tuple[str, str, str], int]:
        zeros = {(*template, app): 0 for template in self.templates for app in APP_FAMILIES}
        return zeros | self.current_sessions.sessions

    def _with_known_templates(self, templates: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
        return dict.fromkeys(chain(self.templates, templates))

    def _with_usernames(self, values: Iterable[tuple[str, V]]) -> Iterator[tuple[str, V]]:
        """Yield the same with users' own names, which the label values are made of later."""
        username_of = self.pseudonyms.username
        for display_name, value in values:
            if (username := username_of(display_name)) is not None:
                yield username, value

    def _distributions(
        self, counts_by_key: Iterable[tuple[K, HistogramCounts]], previous: Mapping[K, LatencyHistogram]
    ) -> dict[K, LatencyHistogram]:
        since = self.since
        assert since is not None
        distributions: dict[K, LatencyHistogram] = {}
        is_first = self._previous is None
        for key, counts in counts_by_key:
            previous_distribution, packed_counts = previous.get(key), counts.packed_counts
            if previous_distribution is not None and packed_counts == previous_distribution.packed_counts:
                distributions[key] = previous_distribution
            elif previous_distribution is not None and any_decreased(
                packed_counts, previous_distribution.packed_counts, BUCKET_COUNT
            ):
                self.clamped += 1
                distributions[key] = previous_distribution
            elif previous_distribution is not None or is_first:
                distributions[key] = LatencyHistogram(
                    packed_counts,
                    BUCKET_COUNT,
                    counts.total,
                    since,
                    counts.exponential_buckets or NO_EXPONENTIAL_BUCKETS,
                )
            else:
                distributions[key] = LatencyHistogram(0, BUCKET_COUNT, 0.0, since)
        return distributions

    def _counter_values(
        self, totals: Iterable[tuple[K, float]], previous: Mapping[K, float]
    ) -> dict[K, float]:
        if self._previous is None:
            return {key: float(value) for key, value in totals}
        values: dict[K, float] = {}
        for key, value in totals:
            previous_value = previous.get(key)
            if previous_value is None:
                values[key] = 0.0
            else:
                self.clamped += value < previous_value
                values[key] = float(max(value, previous_value))
        return values
