"""Own metrics that also tell what happens in the log, each fault once."""

from __future__ import annotations

import logging
from datetime import datetime

from insights_exporter.metrics.self_metrics import SelfMetrics

__all__ = ["LoggingTelemetry"]

logger = logging.getLogger(__name__)

_MAX_SEEN_EVENTS = 1000
_OPTIONAL_RESOURCES = frozenset({"debug_info"})
"""What only the owner may do, and hardly anybody needs."""


class LoggingTelemetry(SelfMetrics):
    """Measures, and writes what a person should know to the log when it begins or changes."""

    def poll_finished(self, result: str, seconds: float) -> None:
        """Count a poll and tell how it went."""
        super().poll_finished(result, seconds)
        level = logging.INFO if result == "ok" else logging.WARNING
        logger.log(level, "Poll finished.", extra={"result": result, "seconds": round(seconds, 3)})

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Count parts of answers that could not be used, and name the first of each kind."""
        super().rows_dropped(endpoint, count, example)
        if self._first_time("rows", endpoint, example):
            extra = {"endpoint": endpoint, "count": count, "example": example}
            logger.warning("Parts of an answer could not be used.", extra=extra)

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Count a request that is tried once more."""
        super().request_retried(endpoint, reason)
        logger.debug("Trying again.", extra={"endpoint": endpoint, "reason": reason})

    def version_changed(self, version: str) -> None:
        """Tell the server's version when it changes."""
        super().version_changed(version)
        logger.info("Coder told its version.", extra={"version": version})

    def permission_checked(self, resource: str, action: str, *, granted: bool) -> None:
        """Note what the token may do, and tell when that changes for the worse."""
        super().permission_checked(resource, action, granted=granted)
        if (
            self._changed(f"{resource} {action}", granted)
            and not granted
            and resource not in _OPTIONAL_RESOURCES
        ):
            extra = {"resource": resource, "action": action}
            logger.warning("The token lacks a permission; some series are missing.", extra=extra)

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Note a reading of the configuration."""
        super().config_reloaded(success=success, at=at)
        if success:
            logger.info("The configuration was read.")

    def _first_time(self, *event: str) -> bool:
        """Say whether this was not told yet; what is told is bounded."""
        seen: set[tuple[str, ...]] = self.__dict__.setdefault("_told", set())
        if event in seen or len(seen) >= _MAX_SEEN_EVENTS:
            return False
        seen.add(event)
        return True

    def _changed(self, key: str, value: object) -> bool:
        last_values: dict[str, object] = self.__dict__.setdefault("_known", {})
        changed = last_values.get(key) != value
        last_values[key] = value
        return changed
