"""Which page of coderd's metrics was counted last, so that none counts twice."""

from __future__ import annotations

from typing import Final, Self

import msgspec
from msgspec import Struct

from insights_exporter.agent_stats.coderd_metrics.scrape import AgentScrape

__all__ = ["SampleCursor"]

START_TIME_TOLERANCE: Final = 5.0
"""Seconds by which a system's idea of when a process began may waver."""


class SampleCursor(Struct, frozen=True, array_like=True):
    """A page by coderd's start, its number of ticks and its values, and when these values came.

    ``per_tick`` is what was learned of the gauges of bytes.
    """

    start_time: float | None
    collection_count: int | None
    fingerprint: str
    changed_at: float
    resets_each_collection: bool = False

    @classmethod
    def loads(cls, text: str) -> Self | None:
        """Return what was written; None for anything else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None

    def dumps(self) -> str:
        """Return it as text."""
        return msgspec.json.encode(self).decode()

    def is_other_replica(self, scrape: AgentScrape) -> bool:
        """Say whether a page is of a replica that began before the one that is followed."""
        if scrape.start_time is None or self.start_time is None:
            return False
        if abs(scrape.start_time - self.start_time) <= START_TIME_TOLERANCE:
            return (
                self.collection_count is not None
                and scrape.collection_count is not None
                and scrape.collection_count < self.collection_count
            )
        return scrape.start_time < self.start_time

    def is_restarted(self, scrape: AgentScrape) -> bool:
        """Say whether coderd began anew since."""
        if scrape.start_time is not None and self.start_time is not None:
            return scrape.start_time - self.start_time > START_TIME_TOLERANCE
        return (
            scrape.collection_count is not None
            and self.collection_count is not None
            and scrape.collection_count < self.collection_count
        )

    def is_newer(self, scrape: AgentScrape) -> bool:
        """Say whether coderd looked at its reports again since, as far as a page shows it."""
        return (
            self.is_restarted(scrape)
            or scrape.collection_count != self.collection_count
            or scrape.fingerprint != self.fingerprint
        )

    def has_changed(self, scrape: AgentScrape) -> bool:
        """Say whether a page holds values that were not counted yet."""
        if scrape.fingerprint == self.fingerprint:
            return False
        # Values of a tick may show a moment before its number does; the next page has both.
        return (
            self.is_restarted(scrape)
            or scrape.collection_count is None
            or scrape.collection_count != self.collection_count
        )

    def advance_to(self, scrape: AgentScrape) -> Self:
        """Return the same values with the ticks that found nothing more."""
        if scrape.fingerprint != self.fingerprint:
            return self
        return msgspec.structs.replace(
            self, start_time=scrape.start_time, collection_count=scrape.collection_count
        )
