"""Telemetry that remembers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from insights_exporter.telemetry import NullTelemetry

__all__ = ["RecordingTelemetry"]


@dataclass
class RecordingTelemetry(NullTelemetry):
    """What was told, in order."""

    poll_results: list[str] = field(default_factory=list)
    collector_results: list[tuple[str, bool]] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    permissions: dict[tuple[str, str], bool] = field(default_factory=dict)
    token_expiries: list[datetime | None] = field(default_factory=list)
    corrected_counters: int = 0
    requests: list[str] = field(default_factory=list)
    agent_lag_seconds: float | None = None
    agent_row_counts: Counter[str] = field(default_factory=Counter)
    export_results: list[str] = field(default_factory=list)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Remember the endpoint."""
        self.requests.append(endpoint)

    def poll_finished(self, result: str, seconds: float) -> None:
        """Remember the result."""
        self.poll_results.append(result)

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Remember how it ended."""
        self.collector_results.append((collector, success))

    def collector_error(self, collector: str, reason: str) -> None:
        """Remember the fault."""
        self.errors.append((collector, reason))

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Remember what the token may do."""
        self.permissions[resource, action] = granted

    def token_expiry_updated(self, at: datetime | None) -> None:
        """Remember when the token ends."""
        self.token_expiries.append(at)

    def counters_corrected(self, count: int) -> None:
        """Count held totals."""
        self.corrected_counters += count

    def agent_rows_processed(self, result: str, count: int) -> None:
        """Add up what became of agent reports."""
        self.agent_row_counts[result] += count

    def export_finished(self, result: str, count: int = 1) -> None:
        """Remember the result of each push."""
        self.export_results += [result] * count

    def agent_lag_updated(self, seconds: float) -> None:
        """Remember the newest age."""
        self.agent_lag_seconds = seconds
