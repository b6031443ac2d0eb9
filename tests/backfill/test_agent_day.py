"""The text of one day of agent statistics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from insights_exporter.backfill.agent_day import AgentDay, AgentDayWriter
from insights_exporter.backfill.family_rows import FamilyRows
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

COUNTER = catalogue.RECEIVED_BYTES
GAUGE = catalogue.SESSIONS
Rows = Mapping[str, FamilyRows]

HEADER = b"# TYPE x unknown\n"


def rows(family: Family, **values: float) -> Rows:
    """Return rows with one series for each keyword."""
    metrics = {name.encode(): (b"%s %a " % (name.encode(), value),) for name, value in values.items()}
    return {family.name: FamilyRows(family, HEADER, metrics)}


def written_day(
    path: Path, *points: Mapping[str, FamilyRows], following: Mapping[str, FamilyRows]
) -> AgentDay:
    """Return a day with points at 0, 10, 20 and so on."""
    writer = AgentDayWriter()
    for number, point in enumerate(points):
        writer.add(10 * number, point)
    return AgentDay(path, writer.write(path, following), ())


def test_series_follow_each_other_and_each_is_in_the_order_of_time(tmp_path: Path) -> None:
    day = written_day(
        tmp_path / "day", rows(GAUGE, a=1, b=2), rows(GAUGE, a=3), rows(GAUGE, a=1, b=5), following={}
    )

    assert b"".join(day.lines(range(100))).decode().splitlines() == [
        "# TYPE x unknown",
        *("a 1 0", "a 3 10", "a 1 20"),
        *("b 2 0", "b 5 20"),
    ]
    assert day.series == 2


def test_a_counter_has_a_zero_before_its_first_value(tmp_path: Path) -> None:
    day = written_day(
        tmp_path / "day",
        *(rows(COUNTER, a=1), rows(COUNTER, a=1, b=5), rows(COUNTER, a=1, b=5)),
        following=rows(COUNTER, a=1, b=5, c=7),
    )

    assert [line.decode() for line in day.lines(range(100))][1:] == [
        *("a 1 0\n", "a 1 10\n", "a 1 20\n"),
        *("b 0 0\n", "b 5 10\n", "b 5 20\n"),
        # Its first value is on the next day.
        "c 0 20\n",
    ]


def test_a_gauge_has_no_zero_before_its_first_value(tmp_path: Path) -> None:
    day = written_day(tmp_path / "day", rows(GAUGE), rows(GAUGE, a=5), following={})

    assert list(day.lines(range(100))) == [HEADER, b"a 5 10\n"]


def test_a_part_of_the_day_has_its_own_samples_and_all_headers(tmp_path: Path) -> None:
    day = written_day(tmp_path / "day", *(rows(GAUGE, a=number) for number in range(4)), following={})

    assert list(day.lines(range(10, 30))) == [HEADER, b"a 1 10\n", b"a 2 20\n"]


def test_timestamps_can_be_milliseconds(tmp_path: Path) -> None:
    day = written_day(tmp_path / "day", rows(GAUGE, a=1), rows(GAUGE, a=1), following={})

    assert list(day.lines(range(10, 20), in_milliseconds=True)) == [HEADER, b"a 1 10000\n"]


def test_a_family_without_series_has_no_header(tmp_path: Path) -> None:
    day = written_day(tmp_path / "day", rows(GAUGE), following={})

    assert list(day.lines(range(100))) == []
