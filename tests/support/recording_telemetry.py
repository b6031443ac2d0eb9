"""Telemetry that records events for assertions."""

# Tests do not assert every argument.

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from insights_exporter.telemetry import Telemetry

__all__ = ["RecordingTelemetry"]


@dataclass
class RecordingTelemetry(Telemetry):
    """Records events in order."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    retries: list[tuple[str, str]] = field(default_factory=list)
    rate_limit_waits: list[float] = field(default_factory=list)
    dropped_rows: list[tuple[str, int, str]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    poll_results: list[str] = field(default_factory=list)
    collector_results: list[tuple[str, bool]] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    permissions: dict[tuple[str, str], bool] = field(default_factory=dict)
    token_expiries: list[datetime | None] = field(default_factory=list)
    corrected_counters: int = 0
    reload_results: list[bool] = field(default_factory=list)
    scrape_codes: list[int] = field(default_factory=list)
    agent_lag_seconds: float | None = None
    agent_row_counts: Counter[str] = field(default_factory=Counter)
    export_results: list[str] = field(default_factory=list)
    export_errors: list[str] = field(default_factory=list)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Record the endpoint and the code."""
        assert seconds >= 0
        self.requests.append((endpoint, code))

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Record the endpoint and the reason."""
        self.retries.append((endpoint, reason))

    def rate_limit_waited(self, seconds: float) -> None:
        """Record the wait."""
        self.rate_limit_waits.append(seconds)

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Record the dropped rows."""
        self.dropped_rows.append((endpoint, count, example))

    def version_changed(self, version: str) -> None:
        """Record the version."""
        self.versions.append(version)

    def poll_finished(self, result: str, seconds: float) -> None:
        """Record the result."""
        assert seconds >= 0
        self.poll_results.append(result)

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Record the collector's result."""
        assert seconds >= 0
        assert at.tzinfo is not None
        self.collector_results.append((collector, success))

    def collector_error(self, collector: str, reason: str) -> None:
        """Record the error."""
        self.errors.append((collector, reason))

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Record the permission."""
        self.permissions[resource, action] = granted

    def token_expiry_updated(self, at: datetime | None) -> None:
        """Record the expiry."""
        self.token_expiries.append(at)

    def counters_corrected(self, count: int) -> None:
        """Add to the number of corrected counters."""
        self.corrected_counters += count

    def scrape_finished(self, code: int, seconds: float) -> None:
        """Record the HTTP status."""
        assert seconds >= 0
        self.scrape_codes.append(code)

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Record the result."""
        assert at.tzinfo is not None
        self.reload_results.append(success)

    def agent_rows_processed(self, result: str, count: int) -> None:
        """Add to the number of rows with this result."""
        self.agent_row_counts[result] += count

    def agent_lag_updated(self, seconds: float) -> None:
        """Record the newest lag."""
        self.agent_lag_seconds = seconds

    def export_finished(self, result: str, count: int = 1) -> None:
        """Record the result of each export."""
        self.export_results += [result] * count

    def export_error(self, reason: str, count: int = 1) -> None:
        """Record the reason of each failed export."""
        self.export_errors += [reason] * count
