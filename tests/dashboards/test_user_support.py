"""User Support: one row per user, and what may explain a slow connection."""

from __future__ import annotations

from datetime import timedelta
from math import isnan
from typing import Any, Final

import pytest

from tests.support.dashboards import all_panels
from tests.support.grafana import DashboardEmulator
from tests.support.grafana_transformations import apply_transformations
from tests.support.history import History

Row = dict[str, Any]

SLOW_MS: Final = 300
RANGE: Final = timedelta(days=7)


@pytest.fixture(scope="module")
def rows(history: History) -> list[Row]:
    """Return the rows of the table of connections; missing values are None."""
    (panel,) = (panel for panel in all_panels("user-support") if panel.title == "Connections by user")
    viewer = DashboardEmulator(history.prometheus, "user-support", history.end, lookback=RANGE)
    (table,) = apply_transformations(panel, viewer.frames(panel))
    return [
        {
            name: None if isinstance(value, float) and isnan(value) else value
            for name, value in zip(table, values, strict=True)
        }
        for values in zip(*table.values(), strict=True)
    ]


def is_slow(row: Row) -> bool:
    """Return whether the p50 of today is slow, or that of the window without a connection today."""
    return bool((row["p50 today"] or row["p50"]) >= SLOW_MS)


def test_each_user_has_one_row(rows: list[Row]) -> None:
    users = [row["User"] for row in rows]

    assert len(users) > 5
    assert len(set(users)) == len(users)


def test_slow_users_have_the_time_since_when_they_are_slow(rows: list[Row], history: History) -> None:
    slow = [row["Slow since"] for row in rows if is_slow(row)]
    others = [row["Slow since"] for row in rows if not is_slow(row)]

    assert slow
    assert all((history.end - RANGE).timestamp() <= since / 1000 <= history.end.timestamp() for since in slow)
    assert set(others) == {None}


def test_a_connection_that_is_known_to_be_relayed_or_direct_says_so(rows: list[Row]) -> None:
    shares = {row["Relayed"] for row in rows} - {None}

    assert shares
    assert all(0 <= share <= 1 for share in shares)


def test_users_have_the_relay_and_the_version_of_their_last_agents(rows: list[Row]) -> None:
    known = [row for row in rows if row["Agent version"]]

    assert known
    assert all(row["Relay"] and row["Relay latency"] > 0 for row in known)
    assert all(row["Outdated"] is not None for row in known)
