"""GIL release of worker threads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter import interpreter_tuning


@given(st.lists(st.integers(), max_size=350))
def test_yielding_preserves_rows(rows: list[int]) -> None:
    assert list(interpreter_tuning.yielding(rows)) == rows


def test_yielding_releases_gil_every_hundred_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    released_after: list[int] = []
    seen: list[int] = []
    monkeypatch.setattr(interpreter_tuning, "release_gil", lambda: released_after.append(len(seen)))

    for row in interpreter_tuning.yielding(range(250)):
        seen.append(row)  # noqa: PERF402  # `release_gil` reads the list between two rows.

    assert released_after == [100, 200]
