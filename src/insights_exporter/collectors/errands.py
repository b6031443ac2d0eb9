"""Doing many things, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

__all__ = ["run_errands"]

AT_ONCE = 4
"""More than the client lets through at once, so that one that waits to try again does not stop the rest."""


async def run_errands(errands: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Run all errands; the first that raises ends all."""
    queue = iter(errands)

    async def work() -> None:
        for errand in queue:
            await errand()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
