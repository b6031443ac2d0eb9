"""One telemetry event of each kind."""

from __future__ import annotations

from datetime import UTC, datetime

from insights_exporter.metrics import catalogue
from insights_exporter.telemetry import Telemetry

__all__ = ["EVENT_TIME", "record_every_event"]

EVENT_TIME = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)


def record_every_event(telemetry: Telemetry) -> None:
    """Send one event of each kind."""
    telemetry.request_finished("/insights/templates", "200", 0.05)
    telemetry.request_retried("/insights/templates", "timeout")
    telemetry.rate_limit_waited(1.5)
    telemetry.rows_dropped("/insights/templates", 2, "a name is missing")
    telemetry.version_changed("v2.26.0")
    telemetry.poll_finished("ok", 2.5)
    telemetry.collector_finished("insights", 1.5, success=True, at=EVENT_TIME)
    telemetry.collector_finished("inventory", 1.5, success=False, at=EVENT_TIME)
    telemetry.collector_error("inventory", "forbidden")
    telemetry.permission_checked("template", "view_insights", granted=True)
    telemetry.token_expiry_updated(EVENT_TIME)
    telemetry.counters_corrected(3)
    telemetry.exposition_rendered(
        {catalogue.USERS.name: 3}, {catalogue.USERS.name: 0}, {"text": 100, "openmetrics": 120}
    )
    telemetry.small_groups_withheld({"template_usage": 4})
    telemetry.scrape_finished(200, 0.002)
    telemetry.config_reloaded(success=True, at=EVENT_TIME)
    telemetry.config_applied(poll_interval=300, max_api_time_ratio=0.1)
    telemetry.agent_rows_processed("counted", 7)
    telemetry.agent_lag_updated(12.5)
    telemetry.export_finished("ok")
    telemetry.export_error("unavailable")
