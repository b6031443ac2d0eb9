"""The events that the exporter reports about itself, as one base class with empty methods."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

__all__ = ["FanOutTelemetry", "Telemetry"]


class Telemetry:
    """Receives events from any thread and ignores them; override the methods whose events are needed.

    Overrides must neither raise nor block. Durations are seconds. ``endpoint`` is a path template such as
    ``/insights/templates``; ``reason`` is the ``reason`` of an ``ExporterError``, or ``internal``.
    """

    # Requests to Coder

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Record a finished request; ``code`` is the HTTP status, or the error's reason."""

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Record that a request is sent again."""

    def rate_limit_waited(self, seconds: float) -> None:
        """Record the time that a request waited for Coder's rate limit."""

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Record dropped parts of a response; ``example`` describes the first invalid part."""

    def version_changed(self, version: str) -> None:
        """Record the server's version when a response reports a new one."""

    # Polls

    def poll_finished(self, result: str, seconds: float) -> None:
        """Record a finished poll; ``result`` is ``ok``, ``partial`` or ``failed``."""

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Record a finished collector run."""

    def collector_error(self, collector: str, reason: str) -> None:
        """Record an error of a collector, or of a part of its run."""

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Record whether the token's account has a permission."""

    def token_expiry_updated(self, at: datetime | None) -> None:
        """Record when the token expires; None if unknown."""

    def counters_corrected(self, count: int) -> None:
        """Record totals that decreased in Coder and were held at their last value."""

    # Exposition

    def exposition_rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Record a rendered exposition: series and folded series by family, bytes by format."""

    def small_groups_withheld(self, counts: Mapping[str, int]) -> None:
        """Record what the published snapshot withholds by kind; empty without a minimum group size."""

    def scrape_finished(self, code: int, seconds: float) -> None:
        """Record a scrape and its HTTP status."""

    # Configuration

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Record a reload of the configuration; after a failure the previous configuration stays."""

    def config_applied(self, *, poll_interval: float, max_api_time_ratio: float) -> None:
        """Record the poll interval and the limit of Coder's time of the configuration in use."""

    # Agent statistics and OTLP

    def agent_rows_processed(self, result: str, count: int) -> None:
        """Record processed agent reports by result."""

    def agent_lag_updated(self, seconds: float) -> None:
        """Record the age of the newest agent report."""

    def export_finished(self, result: str, count: int = 1) -> None:
        """Record OTLP exports; a count of 0 initializes the result's series."""

    def export_error(self, reason: str, count: int = 1) -> None:
        """Record failed or partially rejected OTLP exports; a count of 0 initializes the reason's series."""


class FanOutTelemetry(Telemetry):
    """Forwards every event to each of several receivers, in their order."""

    def __init__(self, *receivers: Telemetry) -> None:
        self._receivers = receivers

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.request_finished(endpoint, code, seconds)

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.request_retried(endpoint, reason)

    def rate_limit_waited(self, seconds: float) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.rate_limit_waited(seconds)

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.rows_dropped(endpoint, count, example)

    def version_changed(self, version: str) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.version_changed(version)

    def poll_finished(self, result: str, seconds: float) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.poll_finished(result, seconds)

    def collector_finished(self, collector: str, seconds: float, *, success: bool, at: datetime) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.collector_finished(collector, seconds, success=success, at=at)

    def collector_error(self, collector: str, reason: str) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.collector_error(collector, reason)

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.permission_checked(resource, action, granted=granted)

    def token_expiry_updated(self, at: datetime | None) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.token_expiry_updated(at)

    def counters_corrected(self, count: int) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.counters_corrected(count)

    def exposition_rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.exposition_rendered(series, folded, sizes)

    def small_groups_withheld(self, counts: Mapping[str, int]) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.small_groups_withheld(counts)

    def scrape_finished(self, code: int, seconds: float) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.scrape_finished(code, seconds)

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.config_reloaded(success=success, at=at)

    def config_applied(self, *, poll_interval: float, max_api_time_ratio: float) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.config_applied(poll_interval=poll_interval, max_api_time_ratio=max_api_time_ratio)

    def agent_rows_processed(self, result: str, count: int) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.agent_rows_processed(result, count)

    def agent_lag_updated(self, seconds: float) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.agent_lag_updated(seconds)

    def export_finished(self, result: str, count: int = 1) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.export_finished(result, count)

    def export_error(self, reason: str, count: int = 1) -> None:
        """Forward the event."""
        for receiver in self._receivers:
            receiver.export_error(reason, count)
