"""Telling of faults: each counted, each logged once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from insights_exporter.errors import ExporterError
from insights_exporter.telemetry import Telemetry

__all__ = ["Faults", "KnownFaults"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class KnownFaults:
    """The faults that were logged and have not gone away since; by subject and reason."""

    logged: set[tuple[str, str]] = field(default_factory=set)


class Faults:
    """The faults of one run of a collector.

    A fault that was there in the run before is counted and not logged again; one that was gone in between is.
    """

    def __init__(self, collector: str, *, telemetry: Telemetry, known: KnownFaults) -> None:
        self._collector = collector
        self._telemetry = telemetry
        self._known = known
        self._found: set[tuple[str, str]] = set()
        self.count = 0

    def note(self, error: ExporterError, *, subject: str = "") -> None:
        """Count a fault and log it unless that was done; ``subject`` names what could not be read."""
        self.count += 1
        self._telemetry.collector_error(self._collector, error.reason)
        key = (subject, error.reason)
        self._found.add(key)
        if key in self._known.logged:
            return
        self._known.logged.add(key)
        told = {"collector": self._collector, "reason": error.reason, "error": str(error)}
        if subject:
            told["subject"] = subject
        logger.warning("collector_fault", extra=told)

    def settle(self) -> None:
        """End the run: what was not found again is forgotten."""
        self._known.logged &= self._found
