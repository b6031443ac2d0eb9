from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.coder.pagination import ListPage, fetch_all_pages


@dataclass(frozen=True)
class Row:
    """A row with an id."""

    id: str


def make_rows(*ids: int) -> list[Row]:
    return [Row(str(one)) for one in ids]


def fake_fetch(
    *snapshots: list[Row], calls: list[tuple[int, int]] | None = None
) -> Callable[[int, int], Awaitable[ListPage[Row]]]:
    """Return a fetch function whose list is the next snapshot at each request; the last repeats."""
    queue = list(snapshots)

    async def fetch(limit: int, offset: int) -> ListPage[Row]:
        state = queue.pop(0) if len(queue) > 1 else queue[0]
        if calls is not None:
            calls.append((limit, offset))
        page = state[offset : offset + limit]
        return ListPage(page, len(state) if page else 0)

    return fetch


@settings(max_examples=100)
@given(st.integers(0, 50), st.integers(1, 12))
async def test_pagination_fetches_all_rows_in_minimal_calls(total: int, size: int) -> None:
    calls: list[tuple[int, int]] = []
    state = make_rows(*range(total))
    fetched = await fetch_all_pages(fake_fetch(state, calls=calls), size=size)

    assert fetched == state
    assert len(calls) == max(1, -(-total // size))


async def test_rows_are_deduplicated() -> None:
    fetched = await fetch_all_pages(fake_fetch(make_rows(1, 2, 3, 4), make_rows(9, 1, 2, 3, 4)), size=2)

    assert sorted(row.id for row in fetched) == ["1", "2", "3", "4", "9"]


async def test_incomplete_list_is_fetched_again() -> None:
    """Row 1 moves to the end, so row 3 moves to the first page between the two requests."""
    fetched = await fetch_all_pages(fake_fetch(make_rows(1, 2, 3, 4), make_rows(2, 3, 4, 1)), size=2)

    assert sorted(row.id for row in fetched) == ["1", "2", "3", "4"]


async def test_list_is_fetched_at_most_twice() -> None:
    calls = 0

    async def fetch(limit: int, offset: int) -> ListPage[Row]:
        nonlocal calls
        calls += 1
        return ListPage(make_rows(*range(limit)), 3 * limit)

    fetched = await fetch_all_pages(fetch, size=2)

    assert len(fetched) == 2
    assert calls == 6


async def test_dropped_rows_count_as_fetched() -> None:
    calls = 0

    async def fetch(limit: int, offset: int) -> ListPage[Row]:
        nonlocal calls
        calls += 1
        return ListPage([] if offset else make_rows(1), 3, dropped=1)

    fetched = await fetch_all_pages(fetch, size=2)

    assert fetched == make_rows(1)
    assert calls == 2


async def test_missing_count_terminates() -> None:
    """An invalid count is dropped from each page, also from the empty page after the last row."""
    calls: list[int] = []

    async def fetch(limit: int, offset: int) -> ListPage[Row]:
        calls.append(offset)
        return ListPage(make_rows(*range(4))[offset : offset + limit], None, dropped=1)

    assert await fetch_all_pages(fetch, size=3) == make_rows(*range(4))
    assert calls == [0, 3]


async def test_without_count_stops_at_partial_page() -> None:
    async def fetch(limit: int, offset: int) -> ListPage[Row]:
        return ListPage(make_rows(*range(7))[offset : offset + limit], None)

    assert await fetch_all_pages(fetch, size=3) == make_rows(*range(7))


async def test_single_page_is_not_fetched_again() -> None:
    """A list on one page cannot lose a row between pages, so a higher count has another cause."""
    calls: list[int] = []

    async def fetch(limit: int, offset: int) -> ListPage[Row]:
        calls.append(offset)
        return ListPage(make_rows(1), 2)

    assert await fetch_all_pages(fetch, size=5) == make_rows(1)
    assert calls == [0]
