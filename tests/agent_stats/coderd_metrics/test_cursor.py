"""Which pages of coderd's metrics are new, whose they are, and what their bytes add."""

from __future__ import annotations

import pytest

from insights_exporter.agent_stats.coderd_metrics.counters import ByteGaugeTracker
from insights_exporter.agent_stats.coderd_metrics.cursor import SampleCursor
from insights_exporter.agent_stats.coderd_metrics.scrape import AgentSample, AgentScrape
from insights_exporter.collectors.agent_stats.roster import WorkspaceIndex
from insights_exporter.snapshot import TemplateKey

AGENT = ("ada", "dev", "main")
OTHER = ("grace", "dev", "main")
CURSOR = SampleCursor(1000.0, 7, "a", 5000.0)


def scrape(start_time: float | None, collection_count: int | None, fingerprint: str) -> AgentScrape:
    return AgentScrape({}, collection_count, start_time, fingerprint, frozenset())


@pytest.mark.parametrize(
    ("started", "ticks", "fingerprint", "news"),
    [
        (1000.0, 8, "b", True),
        (1000.0, 9, "b", True),
        # The same look once more, also where its values came a moment before its number.
        (1000.0, 7, "a", False),
        (1000.0, 7, "b", False),
        # A look that found nothing.
        (1000.0, 8, "a", False),
        # A system's idea of when a process began wavers.
        (1001.0, 8, "b", True),
        (1001.0, 7, "b", False),
        # Begun anew, with as many looks as before.
        (2000.0, 7, "b", True),
        # A page that tells less.
        (None, 7, "b", False),
        (None, 2, "b", True),
        (1000.0, None, "b", True),
        (None, None, "b", True),
        (None, None, "a", False),
    ],
)
def test_scrape_has_changed(
    started: float | None, ticks: int | None, fingerprint: str, *, news: bool
) -> None:
    assert CURSOR.has_changed(scrape(started, ticks, fingerprint)) is news


@pytest.mark.parametrize(
    ("started", "ticks", "elsewhere", "restarted"),
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
    started: float | None, ticks: int | None, *, elsewhere: bool, restarted: bool
) -> None:
    current_scrape = scrape(started, ticks, "b")

    assert (
        CURSOR.is_other_replica(current_scrape),
        not elsewhere and CURSOR.is_restarted(current_scrape),
    ) == (elsewhere, restarted)


@pytest.mark.parametrize("text", ["", "{}", "[]", "2026-01-14T10:00:00+00:00", '["a"]', "\ud800"])
def test_foreign_cursor_is_rejected(text: str) -> None:
    assert SampleCursor.loads(text) is None


def test_cursor_round_trip() -> None:
    assert SampleCursor.loads(CURSOR.dumps()) == CURSOR


def agents_with_received_bytes(**received_bytes: int) -> dict[tuple[str, str, str], AgentSample]:
    agents = {"ada": AGENT, "grace": OTHER}
    return {agents[name]: AgentSample(received=number) for name, number in received_bytes.items()}


def test_decrease_switches_from_deltas_to_full_values() -> None:
    tracker = ByteGaugeTracker()
    tracker.start(agents_with_received_bytes(ada=100))

    increased = tracker.update(agents_with_received_bytes(ada=150), restarted=False, detects_restart=True)
    decreased = tracker.update(agents_with_received_bytes(ada=120), restarted=False, detects_restart=True)
    after_reset = tracker.update(agents_with_received_bytes(ada=130), restarted=False, detects_restart=True)

    assert [deltas[AGENT][0] for deltas in (increased, decreased, after_reset)] == [50, 120, 130]


def test_vanished_agent_shows_gauges_are_reset() -> None:
    tracker = ByteGaugeTracker()
    tracker.start(agents_with_received_bytes(ada=100, grace=5))

    deltas = tracker.update(agents_with_received_bytes(ada=150), restarted=False, detects_restart=True)

    assert deltas == {AGENT: (150, 0)}
    assert tracker.resets_each_collection


def test_restart_counts_full_values() -> None:
    tracker = ByteGaugeTracker()
    tracker.start(agents_with_received_bytes(ada=100))

    deltas = tracker.update(agents_with_received_bytes(ada=30), restarted=True, detects_restart=True)

    assert deltas == {AGENT: (30, 0)}
    assert not tracker.resets_each_collection


def test_decrease_without_restart_detection_is_a_counter_reset() -> None:
    tracker = ByteGaugeTracker()
    tracker.start(agents_with_received_bytes(ada=100))

    decreased = tracker.update(agents_with_received_bytes(ada=30), restarted=False, detects_restart=False)
    increased = tracker.update(agents_with_received_bytes(ada=50), restarted=False, detects_restart=False)

    assert [deltas[AGENT][0] for deltas in (decreased, increased)] == [30, 20]


def test_workspace_lookup_ignores_case_and_rejects_duplicates() -> None:
    go, java = TemplateKey("acme", "go"), TemplateKey("acme", "java")

    workspace_index = WorkspaceIndex.from_workspaces(
        [("Ada", "Dev", go), ("ada", "x", go), ("ada", "X", java), ("eve", "dev", java)]
    )

    assert workspace_index.template("ada", "dev") == go
    assert workspace_index.template("EVE", "DEV") == java
    assert workspace_index.template("ada", "x") is None
    assert workspace_index.template("ada", "other") is None
