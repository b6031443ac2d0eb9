"""Telemetry that logs events for operators; a repeated event is logged once."""

from __future__ import annotations

import logging
from datetime import datetime

import structlog

from insights_exporter.telemetry import Telemetry

__all__ = ["LoggingTelemetry"]

logger = structlog.stdlib.get_logger(__name__)

_MAX_SEEN_EVENTS = 1000
_OPTIONAL_RESOURCES = frozenset({"debug_info"})
"""Only owners may read these, and the exporter works without them."""


class LoggingTelemetry(Telemetry):
    """Logs polls, dropped rows, retries, the server's version, missing permissions and reloads."""

    def __init__(self) -> None:
        self._seen_rows: set[tuple[str, str]] = set()
        self._granted: dict[tuple[str, str], bool] = {}

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Log the retry at debug level."""
        logger.debug("request retried", endpoint=endpoint, reason=reason)

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Log the first occurrence of each example; the set of examples is bounded."""
        key = (endpoint, example)
        if key in self._seen_rows or len(self._seen_rows) >= _MAX_SEEN_EVENTS:
            return
        self._seen_rows.add(key)
        logger.warning("invalid rows dropped", endpoint=endpoint, count=count, example=example)

    def version_changed(self, version: str) -> None:
        """Log the server's version."""
        logger.info("coder version changed", version=version)

    def poll_finished(self, result: str, seconds: float) -> None:
        """Log the result at info level, or at warning level if anything failed."""
        level = logging.INFO if result == "ok" else logging.WARNING
        logger.log(level, "poll finished", result=result, seconds=round(seconds, 3))

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Log a permission that is missing, once until it is granted."""
        previous = self._granted.get((resource, action))
        self._granted[resource, action] = granted
        if previous != granted and not granted and resource not in _OPTIONAL_RESOURCES:
            logger.warning("permission missing", resource=resource, action=action)

    def config_reloaded(self, *, success: bool, at: datetime) -> None:  # noqa: ARG002  # The log has a time.
        """Log a loaded configuration; a failure is logged with its error where it occurs."""
        if success:
            logger.info("config loaded")
