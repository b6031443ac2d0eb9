"""Telling of faults: each counted, each logged once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from insights_exporter.errors import ExporterError
from insights_exporter.telemetry import Telemetry

__all__ = ["ErrorReporter", "ReportedErrors"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ReportedErrors:
    """The faults that were logged and have not gone away since; by subject and reason."""

    keys: set[tuple[str, str]] = field(default_factory=set)


class ErrorReporter:
    """The faults of one run of a collector.

    A fault that was there in the run before is counted and not logged again; one that was gone in between is.
    """

    def __init__(self, collector: str, *, telemetry: Telemetry, reported: ReportedErrors) -> None:
        self._collector = collector
        self._telemetry = telemetry
        self._reported = reported
        self._current_keys: set[tuple[str, str]] = set()
        self.error_count = 0

    def report(self, error: ExporterError, *, resource: str = "") -> None:
        """Count a fault and log it unless that was done; ``subject`` names what could not be read."""
        self.error_count += 1
        self._telemetry.collector_error(self._collector, error.reason)
        key = (resource, error.reason)
        self._current_keys.add(key)
        if key in self._reported.keys:
            return
        self._reported.keys.add(key)
        fields = {"collector": self._collector, "reason": error.reason, "error": str(error)}
        if resource:
            fields["subject"] = resource
        logger.warning("collector_fault", extra=fields)

    def finish(self) -> None:
        """End the run: what was not found again is forgotten."""
        self._reported.keys &= self._current_keys
