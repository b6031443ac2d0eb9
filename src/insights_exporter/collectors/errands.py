"""Doing many things, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

__all__ = ["run_limited"]

MAX_CONCURRENT = 4
"""More than the client lets through at once, so that one that waits to try again does not stop the rest."""


async def run_limited(tasks: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Run all errands; the first that raises ends all."""
    queue = iter(tasks)

    async def worker() -> None:
        for task in queue:
            await task()

    async with asyncio.TaskGroup() as group:
        for _ in range(MAX_CONCURRENT):
            group.create_task(worker())
