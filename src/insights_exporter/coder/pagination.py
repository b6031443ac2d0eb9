"""Offset pagination of lists whose rows may move between two pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["ListPage", "Rows", "fetch_all_pages"]


class HasId(Protocol):
    """A row with an id."""

    @property
    def id(self) -> str:
        """The id, which deduplicates a row that appears on two pages."""
        ...


R = TypeVar("R", bound=HasId)
T = TypeVar("T")


class Rows(list[T]):
    """The valid rows of a list; ``dropped`` counts invalid rows, which make the list incomplete."""

    def __init__(self, rows: Iterable[T] = (), dropped: int = 0) -> None:
        super().__init__(rows)
        self.dropped = dropped


@dataclass(frozen=True, slots=True)
class ListPage(Generic[R]):
    """The valid rows of a page, the length of the whole list if known, and the number of dropped rows."""

    rows: list[R]
    count: int | None
    dropped: int = 0


async def fetch_all_pages(fetch: Callable[[int, int], Awaitable[ListPage[R]]], *, size: int) -> list[R]:
    """Return all rows, each id once; ``fetch`` takes the limit and the offset of a page.

    A row that moves between two pages can be missed, which shows as fewer rows than the count. Then the list
    is fetched once more, and the second result is returned as it is. A list of a single page cannot move.
    """
    rows, complete = await _fetch_pages(fetch, size=size)
    if not complete:
        rows, _ = await _fetch_pages(fetch, size=size)
    return rows


async def _fetch_pages(
    fetch: Callable[[int, int], Awaitable[ListPage[R]]], *, size: int
) -> tuple[list[R], bool]:
    rows_by_id: dict[str, R] = {}
    dropped = offset = 0
    count: int | None = None
    while count is None or offset < count:
        page = await fetch(size, offset)
        if not page.rows and not page.dropped:
            # Coder reports a count of 0 on an empty page, whatever the length of the list.
            break
        rows_by_id.update((row.id, row) for row in page.rows)
        dropped += page.dropped
        count = page.count
        if count is None and len(page.rows) + page.dropped < size:
            # Without a count, a partial page is the last one.
            break
        offset += size
    is_single_page = offset <= size
    return list(rows_by_id.values()), is_single_page or len(rows_by_id) + dropped >= (count or 0)
