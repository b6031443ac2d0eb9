"""Reading lists that come in pages and may move meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["ListPage", "fetch_all_pages"]


class HasId(Protocol):
    """A row with an id."""

    @property
    def id(self) -> str:
        """The id, by which a row that appears on two pages is known."""
        ...


R = TypeVar("R", bound=HasId)


@dataclass(frozen=True, slots=True)
class ListPage(Generic[R]):
    """Some rows of a list, how many the whole list has if known, and how many more were unusable."""

    rows: list[R]
    count: int | None
    dropped: int = 0


async def fetch_all_pages(fetch: Callable[[int, int], Awaitable[ListPage[R]]], *, size: int) -> list[R]:
    """Return all rows, each id once; ``fetch`` takes the limit and the offset of a page.

    Rows that change their place between two pages can be missed. That shows in the count, and the list is
    then read once more; what the second reading finds is taken as it is.
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
            # Coder counts 0 on an empty page, whatever the list holds.
            break
        rows_by_id.update((row.id, row) for row in page.rows)
        dropped += page.dropped
        count = page.count
        if count is None and len(page.rows) + page.dropped < size:
            # Nobody says how long the list is, and what can no longer be read may be just that.
            break
        offset += size
    return list(rows_by_id.values()), len(rows_by_id) + dropped >= (count or 0)
