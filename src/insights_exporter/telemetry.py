"""What the exporter tells of itself; who listens decides what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from insights_exporter.coder.observer import NullObserver, Observer

__all__ = ["NullTelemetry", "Telemetry"]


class Telemetry(Observer, Protocol):
    """Receives what happens inside, from any thread; it never raises and never waits."""

    def poll_finished(self, result: str, seconds: float) -> None:
        """Note the end of a poll: ``ok``, ``partial`` or ``failed``."""
        ...

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Note that a collector ran."""
        ...

    def collector_error(self, collector: str, reason: str) -> None:
        """Note a fault of a collector or of a part of its run; ``reason`` is that of the error."""
        ...

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Note what the token may do."""
        ...

    def token_expiry_updated(self, at: datetime | None) -> None:
        """Note when the token expires; None where that is unknown."""
        ...

    def counters_corrected(self, count: int) -> None:
        """Note that totals fell in Coder and were held."""
        ...

    def exposition_rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Note a rendered page: series and folded series by family name, bytes by format."""
        ...

    def scrape_finished(self, code: int, seconds: float) -> None:
        """Note an answered scrape."""
        ...

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Note that the configuration was read, or that the last good one stays."""
        ...

    def agent_rows_processed(self, result: str, count: int) -> None:
        """Note what became of agent reports."""
        ...

    def agent_lag_updated(self, seconds: float) -> None:
        """Note the age of the newest agent report."""
        ...

    def export_finished(self, result: str, count: int = 1) -> None:
        """Note pushes to the OpenTelemetry collector; a count of 0 says that there may be some."""
        ...


class NullTelemetry(NullObserver):
    """Ignores everything."""

    def poll_finished(self, result: str, seconds: float) -> None:
        """Ignore the event."""

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Ignore the event."""

    def collector_error(self, collector: str, reason: str) -> None:
        """Ignore the event."""

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Ignore the event."""

    def token_expiry_updated(self, at: datetime | None) -> None:
        """Ignore the event."""

    def counters_corrected(self, count: int) -> None:
        """Ignore the event."""

    def exposition_rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Ignore the event."""

    def scrape_finished(self, code: int, seconds: float) -> None:
        """Ignore the event."""

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Ignore the event."""

    def agent_rows_processed(self, result: str, count: int) -> None:
        """Ignore the event."""

    def agent_lag_updated(self, seconds: float) -> None:
        """Ignore the event."""

    def export_finished(self, result: str, count: int = 1) -> None:
        """Ignore the event."""
