"""Which page of coderd's metrics was counted last, so that none counts twice."""

from __future__ import annotations

from typing import Final, Self

import msgspec
from msgspec import Struct

from insights_exporter.collectors.agent_stats.page import Page

__all__ = ["Place"]

SAME_START: Final = 5.0
"""Seconds by which a system's idea of when a process began may waver."""


class Place(Struct, frozen=True, array_like=True):
    """A page by coderd's start, its number of ticks and its values, and when these values came.

    ``per_tick`` is what was learned of the gauges of bytes.
    """

    started: float | None
    ticks: int | None
    fingerprint: str
    changed_at: float
    per_tick: bool = False

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return what was written; None for anything else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None

    def written(self) -> str:
        """Return it as text."""
        return msgspec.json.encode(self).decode()

    def is_elsewhere(self, page: Page) -> bool:
        """Say whether a page is of a replica that began before the one that is followed."""
        if page.started is None or self.started is None:
            return False
        if abs(page.started - self.started) <= SAME_START:
            return self.ticks is not None and page.ticks is not None and page.ticks < self.ticks
        return page.started < self.started

    def is_restarted(self, page: Page) -> bool:
        """Say whether coderd began anew since."""
        if page.started is not None and self.started is not None:
            return page.started - self.started > SAME_START
        return page.ticks is not None and self.ticks is not None and page.ticks < self.ticks

    def is_later(self, page: Page) -> bool:
        """Say whether coderd looked at its reports again since, as far as a page shows it."""
        return self.is_restarted(page) or page.ticks != self.ticks or page.fingerprint != self.fingerprint

    def is_news(self, page: Page) -> bool:
        """Say whether a page holds values that were not counted yet."""
        if page.fingerprint == self.fingerprint:
            return False
        # Values of a tick may show a moment before its number does; the next page has both.
        return self.is_restarted(page) or page.ticks is None or page.ticks != self.ticks

    def seen_again(self, page: Page) -> Self:
        """Return the same values with the ticks that found nothing more."""
        if page.fingerprint != self.fingerprint:
            return self
        return msgspec.structs.replace(self, started=page.started, ticks=page.ticks)
