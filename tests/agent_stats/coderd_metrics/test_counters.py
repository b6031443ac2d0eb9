"""Deltas of coderd's byte gauges."""

from __future__ import annotations

from insights_exporter.agent_stats.coderd_metrics.cursor import ByteGaugeTracker
from insights_exporter.agent_stats.coderd_metrics.scrape import AgentSample

AGENT = ("ada", "dev", "main")
OTHER = ("grace", "dev", "main")


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
