"""What can go wrong where agent reports are read."""

from __future__ import annotations

from insights_exporter.errors import ExporterError

__all__ = ["AgentStatsError"]


class AgentStatsError(ExporterError):
    """Agent reports could not be read; ``reason`` serves as a metric label, the message says what to do."""

    reason = "source"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        # Each fault of a source has a reason of its own, where other errors have a class.
        self.reason = reason  # type: ignore[misc] # As above.
