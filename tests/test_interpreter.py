"""What keeps scrapes quick beside other threads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter import interpreter


@given(st.lists(st.integers(), max_size=350))
def test_turns_leave_nothing_out(rows: list[int]) -> None:
    assert list(interpreter.in_turns(rows)) == rows


def test_others_get_their_turn_between_hundreds(monkeypatch: pytest.MonkeyPatch) -> None:
    given_way: list[int] = []
    seen: list[int] = []
    monkeypatch.setattr(interpreter, "give_way", lambda: given_way.append(len(seen)))

    for row in interpreter.in_turns(range(250)):
        seen.append(row)  # noqa: PERF402 - it is counted while it grows.

    assert given_way == [100, 200]
