"""Normalized latency: reusing the previous response does not change the result."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.coder.models import ConnectionLatency, UserLatency, UserLatencyReport
from insights_exporter.insights.normalization import LatencyReport, normalize_latency
from insights_exporter.insights.usernames import UsernameIndex
from insights_exporter.snapshot import Latency


def normalize(report: UserLatencyReport, previous: LatencyReport | None = None) -> LatencyReport:
    index = UsernameIndex()
    index.update({user.user_id: user.username for user in report.users if user.username})
    return normalize_latency(report, index=index, previous=previous)


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
    previous_copy = deepcopy(previous.latency)
    current, expected = normalize(second, previous), normalize(second)

    assert (current.user_ids, current.latency) == (expected.user_ids, expected.latency)
    assert list(current.latency.p50) == list(expected.latency.p50)
    assert previous.latency == previous_copy


@given(report=reports)
def test_equal_response_keeps_identity(report: UserLatencyReport) -> None:
    previous = normalize(report)

    assert normalize(report, previous) is previous


def test_only_changed_latencies_are_new_objects() -> None:
    """Unchanged latencies of thousands of users stay the same objects."""
    ada, bob = (UserLatency(f"id-{name}", name, ConnectionLatency(20.5, 31.5)) for name in ("ada", "bob"))
    changed = UserLatency("id-bob", "bob", ConnectionLatency(40.5, 31.5))
    first = normalize(UserLatencyReport(users=[ada, bob]))
    previous, current = first.latency, normalize(UserLatencyReport(users=[ada, changed]), first).latency

    assert current == Latency(("ada", "bob"), {"ada": 0.0205, "bob": 0.0405}, {"ada": 0.0315, "bob": 0.0315})
    assert current.users is previous.users
    assert current.p50["ada"] is previous.p50["ada"]
    assert current.p95 is previous.p95
