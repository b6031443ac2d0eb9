"""Answers in one form: what came before saves work and changes nothing."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.coder.responses import ConnectionLatency, LatencyReport, UserLatency
from insights_exporter.collectors.parts import latency_part
from insights_exporter.snapshot import Latency


def part(report: LatencyReport, before: Latency | None = None) -> Latency:
    return latency_part(report, name_of=str.upper, before=before)


milliseconds = st.sampled_from((-1.0, 0.0, 20.0, 25.5, 31.0))
users = st.builds(
    UserLatency,
    user_id=st.sampled_from(("id-1", "id-2", "id-3")),
    username=st.sampled_from(("ada", "bob", "cy", "")),
    latency_ms=st.builds(ConnectionLatency, p50=milliseconds, p95=milliseconds),
)
reports = st.builds(LatencyReport, users=st.lists(users, max_size=4))


@given(first=reports, second=reports)
def test_what_was_said_before_makes_no_difference(first: LatencyReport, second: LatencyReport) -> None:
    before = part(first)
    untouched = deepcopy(before)
    after = part(second, before)

    assert after == part(second)
    assert list(after.p50) == list(part(second).p50)
    assert before == untouched


@given(report=reports)
def test_the_same_said_twice_is_the_same_object(report: LatencyReport) -> None:
    before = part(report)

    assert part(report, before) is before


def test_of_many_round_trips_only_the_moved_ones_are_new() -> None:
    """Numbers that stayed are the same objects, as most of thousands stay."""
    ada, bob = (UserLatency(f"id-{name}", name, ConnectionLatency(20.5, 31.5)) for name in ("ada", "bob"))
    moved = UserLatency("id-bob", "bob", ConnectionLatency(40.5, 31.5))
    before = part(LatencyReport(users=[ada, bob]))
    after = part(LatencyReport(users=[ada, moved]), before)

    assert after == Latency(("ada", "bob"), {"ada": 0.0205, "bob": 0.0405}, {"ada": 0.0315, "bob": 0.0315})
    assert after.users is before.users
    assert after.p50["ada"] is before.p50["ada"]
    assert after.p95 is before.p95
