"""Waits for a condition of another task, thread or process."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable

__all__ = ["wait_until", "wait_until_ready"]


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]],
    *,
    timeout: float = 20,
    interval: float = 0.01,
    describe: Callable[[], object] = lambda: "the condition stayed false",
) -> None:
    """Wait until the condition is true; raise AssertionError with ``describe()`` after the timeout."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                result = condition()
                if await result if inspect.isawaitable(result) else result:
                    return
                await asyncio.sleep(interval)
    except TimeoutError:
        raise AssertionError(f"Timeout after {timeout} s: {describe()}") from None


def wait_until_ready(url: str, process: subprocess.Popen[bytes], *, timeout: float = 30) -> None:
    """Wait until a started program answers requests; raise RuntimeError if it exits or the timeout passes."""
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 # A local URL.
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{url} did not become ready.")
