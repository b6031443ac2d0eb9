"""What moved between two polls is what has to be added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.collectors.moves import DeltaCache
from insights_exporter.insights.normalization import ActivityReport, UsageReport, accumulate
from insights_exporter.insights.totals import AnchoredTotals

activity_strategy = st.dictionaries(st.sampled_from(("ada", "bob", "cy")), st.integers(0, 3).map(float)).map(
    ActivityReport
)


def sum_activities(activities: Sequence[ActivityReport]) -> dict[str, float]:
    users: dict[str, float] = {}
    for activity in activities:
        accumulate(users, activity.seconds_by_user.items())
    return users


@given(pairs=st.lists(st.tuples(activity_strategy, activity_strategy), max_size=3))
def test_previous_plus_delta_equals_current(pairs: Sequence[tuple[ActivityReport, ActivityReport]]) -> None:
    """Or, where somebody is gone from a range, nothing is said."""
    previous, current = [old for old, _ in pairs], [new for _, new in pairs]
    delta = DeltaCache().delta(previous, current)
    users = sum_activities(previous)
    accumulate(users, (delta or {}).items())

    assert (delta is None) == any(
        not old.seconds_by_user.keys() <= new.seconds_by_user.keys() for old, new in pairs
    )
    assert delta is None or users == sum_activities(current)


def test_delta_is_unknown_when_range_count_changes() -> None:
    activity = ActivityReport({"ada": 60.0})

    assert DeltaCache().delta([activity], [activity, ActivityReport()]) is None


def test_delta_is_cached() -> None:
    cache, old, new = DeltaCache(), ActivityReport({"ada": 60.0}), ActivityReport({"ada": 60.0, "bob": 0.0})
    delta = cache.delta([old], [new])

    assert delta == {"bob": 0.0}
    assert cache.delta([old], [new]) is delta


@given(
    polls=st.lists(st.tuples(st.lists(activity_strategy, min_size=1, max_size=2), st.booleans()), max_size=8)
)
def test_incremental_totals_equal_recomputed_totals(
    polls: Sequence[tuple[list[ActivityReport], bool]],
) -> None:
    """Also where numbers fall, users go and come back, and days close in between."""
    anchor = date(2026, 1, 1)
    incremental, recomputed = (AnchoredTotals(anchor, datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(2))
    applied: dict[str, float] = {}
    for number, (days, settles) in enumerate(polls):
        if settles:
            for totals in (incremental, recomputed):
                totals.add_settled_days(anchor + timedelta(days=number), UsageReport(), days[0])
        recomputed.last_activity = None
        unsettled_days = [(UsageReport(), day) for day in days]
        update = incremental.update(unsettled_days, known_apps=(), delta_cache=DeltaCache())
        expected = recomputed.update(unsettled_days, known_apps=(), delta_cache=DeltaCache())
        if update.user_deltas is None:
            applied = dict(incremental.user_totals.values)
        accumulate(applied, (update.user_deltas or {}).items())

        assert (update.seconds, update.decrease_count) == (expected.seconds, expected.decrease_count)
        assert incremental.user_totals == recomputed.user_totals
        assert applied == incremental.user_totals.values
