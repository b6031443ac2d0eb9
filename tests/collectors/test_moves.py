"""What moved between two polls is what has to be added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.collectors.counters import Ledger
from insights_exporter.collectors.moves import Moves
from insights_exporter.collectors.parts import Activity, Report, add

answers = st.dictionaries(st.sampled_from(("ada", "bob", "cy")), st.integers(0, 3).map(float)).map(Activity)


def together(parts: Sequence[Activity]) -> dict[str, float]:
    users: dict[str, float] = {}
    for part in parts:
        add(users, part.users.items())
    return users


@given(pairs=st.lists(st.tuples(answers, answers), max_size=3))
def test_moves_added_to_what_was_known_give_what_is(pairs: Sequence[tuple[Activity, Activity]]) -> None:
    """Or, where somebody is gone from a range, nothing is said."""
    before, now = [old for old, _ in pairs], [new for _, new in pairs]
    moved = Moves().between(before, now)
    users = together(before)
    add(users, (moved or {}).items())

    assert (moved is None) == any(not old.users.keys() <= new.users.keys() for old, new in pairs)
    assert moved is None or users == together(now)


def test_another_number_of_ranges_is_added_up_anew() -> None:
    one = Activity({"ada": 60.0})

    assert Moves().between([one], [one, Activity()]) is None


def test_what_moved_is_found_out_once() -> None:
    moves, old, new = Moves(), Activity({"ada": 60.0}), Activity({"ada": 60.0, "bob": 0.0})
    found = moves.between([old], [new])

    assert found == {"bob": 0.0}
    assert moves.between([old], [new]) is found


@given(polls=st.lists(st.tuples(st.lists(answers, min_size=1, max_size=2), st.booleans()), max_size=8))
def test_totals_are_the_same_whether_moved_or_added_up(
    polls: Sequence[tuple[list[Activity], bool]],
) -> None:
    """Also where numbers fall, users go and come back, and days close in between."""
    anchor = date(2026, 1, 1)
    moving, adding = (Ledger(anchor, datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(2))
    shown: dict[str, float] = {}
    for number, (days, closing) in enumerate(polls):
        if closing:
            for ledger in (moving, adding):
                ledger.close(anchor + timedelta(days=number), Report(), days[0])
        adding.counted = None
        open_days = [(Report(), day) for day in days]
        found = moving.total(open_days, known_apps=(), moves=Moves())
        expected = adding.total(open_days, known_apps=(), moves=Moves())
        if found.steps is None:
            shown = dict(moving.served_users.served)
        add(shown, (found.steps or {}).items())

        assert (found.seconds, found.fallen) == (expected.seconds, expected.fallen)
        assert moving.served_users == adding.served_users
        assert shown == moving.served_users.served
