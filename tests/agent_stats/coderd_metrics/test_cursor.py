"""The cursor of coderd's metrics."""

from __future__ import annotations

import pytest

from insights_exporter.agent_stats.coderd_metrics.cursor import SampleCursor
from insights_exporter.agent_stats.coderd_metrics.scrape import AgentScrape

CURSOR = SampleCursor(1000.0, 7, "a", 5000.0)


def scrape(start_time: float | None, collection_count: int | None, fingerprint: str) -> AgentScrape:
    return AgentScrape({}, collection_count, start_time, fingerprint, frozenset())


@pytest.mark.parametrize(
    ("start_time", "collection_count", "fingerprint", "has_changed"),
    [
        (1000.0, 8, "b", True),
        (1000.0, 9, "b", True),
        # The same collection, also if its values changed before its count.
        (1000.0, 7, "a", False),
        (1000.0, 7, "b", False),
        # A collection without new values.
        (1000.0, 8, "a", False),
        # The reported start time varies.
        (1001.0, 8, "b", True),
        (1001.0, 7, "b", False),
        # A restart with an equal collection count.
        (2000.0, 7, "b", True),
        # A scrape without start time or collection count.
        (None, 7, "b", False),
        (None, 2, "b", True),
        (1000.0, None, "b", True),
        (None, None, "b", True),
        (None, None, "a", False),
    ],
)
def test_scrape_has_changed(
    start_time: float | None, collection_count: int | None, fingerprint: str, *, has_changed: bool
) -> None:
    assert CURSOR.has_changed(scrape(start_time, collection_count, fingerprint)) is has_changed


@pytest.mark.parametrize(
    ("start_time", "collection_count", "is_other_replica", "is_restarted"),
    [
        (1000.0, 8, False, False),
        (900.0, 80, True, False),
        (1002.0, 3, True, False),
        (2000.0, 1, False, True),
        (None, 3, False, True),
        (None, 9, False, False),
        (None, None, False, False),
    ],
)
def test_older_process_is_other_replica_and_newer_is_restart(
    start_time: float | None, collection_count: int | None, *, is_other_replica: bool, is_restarted: bool
) -> None:
    current_scrape = scrape(start_time, collection_count, "b")

    assert (
        CURSOR.is_other_replica(current_scrape),
        not is_other_replica and CURSOR.is_restarted(current_scrape),
    ) == (is_other_replica, is_restarted)


@pytest.mark.parametrize("text", ["", "{}", "[]", "2026-01-14T10:00:00+00:00", '["a"]', "\ud800"])
def test_foreign_cursor_is_rejected(text: str) -> None:
    assert SampleCursor.loads(text) is None


def test_cursor_round_trip() -> None:
    assert SampleCursor.loads(CURSOR.dumps()) == CURSOR
