from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.coder.paging import Page, read_pages


@dataclass(frozen=True)
class Row:
    """A thing with an id."""

    id: str


def rows(*ids: int) -> list[Row]:
    return [Row(str(one)) for one in ids]


def serving(
    *states: list[Row], calls: list[tuple[int, int]] | None = None
) -> Callable[[int, int], Awaitable[Page[Row]]]:
    """Return a source whose list is in the next state at each request and stays in the last one."""
    queue = list(states)

    async def fetch(limit: int, offset: int) -> Page[Row]:
        state = queue.pop(0) if len(queue) > 1 else queue[0]
        if calls is not None:
            calls.append((limit, offset))
        page = state[offset : offset + limit]
        return Page(page, len(state) if page else 0)

    return fetch


@settings(max_examples=100)
@given(st.integers(0, 50), st.integers(1, 12))
async def test_every_row_is_found_in_as_many_calls_as_there_are_pages(total: int, size: int) -> None:
    calls: list[tuple[int, int]] = []
    state = rows(*range(total))
    found = await read_pages(serving(state, calls=calls), size=size)

    assert found == state
    assert len(calls) == max(1, -(-total // size))


async def test_a_row_on_two_pages_is_counted_once() -> None:
    found = await read_pages(serving(rows(1, 2, 3, 4), rows(9, 1, 2, 3, 4)), size=2)

    assert sorted(row.id for row in found) == ["1", "2", "3", "4", "9"]


async def test_a_missed_row_shows_in_the_count_and_the_list_is_read_again() -> None:
    """Row 1 leaves the first page, so that row 3 moves onto it unseen."""
    found = await read_pages(serving(rows(1, 2, 3, 4), rows(2, 3, 4, 1)), size=2)

    assert sorted(row.id for row in found) == ["1", "2", "3", "4"]


async def test_a_list_that_never_stands_still_is_read_twice_and_no_more() -> None:
    calls = 0

    async def fetch(limit: int, offset: int) -> Page[Row]:
        nonlocal calls
        calls += 1
        return Page(rows(*range(limit)), 3 * limit)

    found = await read_pages(fetch, size=2)

    assert len(found) == 2
    assert calls == 6


async def test_unusable_rows_are_not_missed_rows() -> None:
    calls = 0

    async def fetch(limit: int, offset: int) -> Page[Row]:
        nonlocal calls
        calls += 1
        return Page([] if offset else rows(1), 3, dropped=1)

    found = await read_pages(fetch, size=2)

    assert found == rows(1)
    assert calls == 2


async def test_a_count_that_cannot_be_read_does_not_make_the_list_endless() -> None:
    """The unusable count itself is dropped from each page, the empty ones behind the list included."""
    calls: list[int] = []

    async def fetch(limit: int, offset: int) -> Page[Row]:
        calls.append(offset)
        return Page(rows(*range(4))[offset : offset + limit], None, dropped=1)

    assert await read_pages(fetch, size=3) == rows(*range(4))
    assert calls == [0, 3]


async def test_without_a_count_pages_are_read_until_one_is_not_full() -> None:
    async def fetch(limit: int, offset: int) -> Page[Row]:
        return Page(rows(*range(7))[offset : offset + limit], None)

    assert await read_pages(fetch, size=3) == rows(*range(7))
