"""Answers in one form: what came before saves work and changes nothing."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.coder.models import ConnectionLatency, UserLatency, UserLatencyReport
from insights_exporter.insights.normalization import normalize_latency
from insights_exporter.snapshot import Latency


def normalize(report: UserLatencyReport, previous: Latency | None = None) -> Latency:
    return normalize_latency(report, username_of=str.upper, previous=previous)


milliseconds = st.sampled_from((-1.0, 0.0, 20.0, 25.5, 31.0))
users = st.builds(
    UserLatency,
    user_id=st.sampled_from(("id-1", "id-2", "id-3")),
    username=st.sampled_from(("ada", "bob", "cy", "")),
    latency_ms=st.builds(ConnectionLatency, p50=milliseconds, p95=milliseconds),
)
reports = st.builds(UserLatencyReport, users=st.lists(users, max_size=4))


@given(first=reports, second=reports)
def test_previous_response_does_not_change_result(
    first: UserLatencyReport, second: UserLatencyReport
) -> None:
    previous = normalize(first)
    previous_copy = deepcopy(previous)
    current = normalize(second, previous)

    assert current == normalize(second)
    assert list(current.p50) == list(normalize(second).p50)
    assert previous == previous_copy


@given(report=reports)
def test_equal_response_keeps_identity(report: UserLatencyReport) -> None:
    previous = normalize(report)

    assert normalize(report, previous) is previous


def test_only_changed_latencies_are_new_objects() -> None:
    """Numbers that stayed are the same objects, as most of thousands stay."""
    ada, bob = (UserLatency(f"id-{name}", name, ConnectionLatency(20.5, 31.5)) for name in ("ada", "bob"))
    changed = UserLatency("id-bob", "bob", ConnectionLatency(40.5, 31.5))
    previous = normalize(UserLatencyReport(users=[ada, bob]))
    current = normalize(UserLatencyReport(users=[ada, changed]), previous)

    assert current == Latency(("ada", "bob"), {"ada": 0.0205, "bob": 0.0405}, {"ada": 0.0315, "bob": 0.0315})
    assert current.users is previous.users
    assert current.p50["ada"] is previous.p50["ada"]
    assert current.p95 is previous.p95
