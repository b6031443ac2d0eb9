"""Own metrics that also tell what happens in the log, each fault once."""

from __future__ import annotations

import logging
from datetime import datetime

from insights_exporter.metrics.self_metrics import SelfMetrics

__all__ = ["TellingMetrics"]

logger = logging.getLogger(__name__)

_REMEMBERED = 1000
_SPARED = frozenset({"debug_info"})
"""What only the owner may do, and hardly anybody needs."""


class TellingMetrics(SelfMetrics):
    """Measures, and writes what a person should know to the log when it begins or changes."""

    def poll_finished(self, result: str, seconds: float) -> None:
        """Count a poll and tell how it went."""
        super().poll_finished(result, seconds)
        level = logging.INFO if result == "ok" else logging.WARNING
        logger.log(level, "Poll finished.", extra={"result": result, "seconds": round(seconds, 3)})

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Count parts of answers that could not be used, and name the first of each kind."""
        super().rows_dropped(endpoint, count, example)
        if self._news("rows", endpoint, example):
            extra = {"endpoint": endpoint, "count": count, "example": example}
            logger.warning("Parts of an answer could not be used.", extra=extra)

    def retried(self, endpoint: str, reason: str) -> None:
        """Count a request that is tried once more."""
        super().retried(endpoint, reason)
        logger.debug("Trying again.", extra={"endpoint": endpoint, "reason": reason})

    def version_seen(self, version: str) -> None:
        """Tell the server's version when it changes."""
        super().version_seen(version)
        logger.info("Coder told its version.", extra={"version": version})

    def permission(self, resource: str, action: str, *, granted: bool) -> None:
        """Note what the token may do, and tell when that changes for the worse."""
        super().permission(resource, action, granted=granted)
        if self._differs(f"{resource} {action}", granted) and not granted and resource not in _SPARED:
            extra = {"resource": resource, "action": action}
            logger.warning("The token lacks a permission; some series are missing.", extra=extra)

    def reloaded(self, *, success: bool, at: datetime) -> None:
        """Note a reading of the configuration."""
        super().reloaded(success=success, at=at)
        if success:
            logger.info("The configuration was read.")

    def _news(self, *what: str) -> bool:
        """Say whether this was not told yet; what is told is bounded."""
        told: set[tuple[str, ...]] = self.__dict__.setdefault("_told", set())
        if what in told or len(told) >= _REMEMBERED:
            return False
        told.add(what)
        return True

    def _differs(self, what: str, value: object) -> bool:
        known: dict[str, object] = self.__dict__.setdefault("_known", {})
        changed = known.get(what) != value
        known[what] = value
        return changed
