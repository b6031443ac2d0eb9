"""Telemetry that remembers."""

# ruff: noqa: ARG002 - it keeps only what tests ask for.

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from insights_exporter.telemetry import SilentTelemetry

__all__ = ["Told"]


@dataclass
class Told(SilentTelemetry):
    """What was told, in order."""

    polls: list[str] = field(default_factory=list)
    collectors: list[tuple[str, bool]] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    permissions: dict[tuple[str, str], bool] = field(default_factory=dict)
    expiries: list[datetime | None] = field(default_factory=list)
    corrections: int = 0
    requests: list[str] = field(default_factory=list)
    lag: float | None = None
    rows: Counter[str] = field(default_factory=Counter)
    exports: list[str] = field(default_factory=list)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Remember the endpoint."""
        self.requests.append(endpoint)

    def poll_finished(self, result: str, seconds: float) -> None:
        """Remember the result."""
        self.polls.append(result)

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Remember how it ended."""
        self.collectors.append((collector, success))

    def collector_error(self, collector: str, reason: str) -> None:
        """Remember the fault."""
        self.errors.append((collector, reason))

    def permission(self, resource: str, action: str, *, granted: bool) -> None:
        """Remember what the token may do."""
        self.permissions[resource, action] = granted

    def token_expiry(self, at: datetime | None) -> None:
        """Remember when the token ends."""
        self.expiries.append(at)

    def counters_corrected(self, count: int) -> None:
        """Count held totals."""
        self.corrections += count

    def agent_rows(self, result: str, count: int) -> None:
        """Add up what became of agent reports."""
        self.rows[result] += count

    def exported(self, result: str, count: int = 1) -> None:
        """Remember the result of each push."""
        self.exports += [result] * count

    def agent_lag(self, seconds: float) -> None:
        """Remember the newest age."""
        self.lag = seconds
