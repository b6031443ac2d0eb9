"""Garbage collector and GIL settings that keep scrape latency low during polls and renders."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

__all__ = ["release_gil", "tune_gc_and_gil", "yielding"]

T = TypeVar("T")

_GIL_SWITCH_INTERVAL: Final = 5e-4
"""Seconds after which a waiting thread gets the GIL."""

_RELEASE_SECONDS: Final = 5e-5
_YIELD_EVERY: Final = 100


def tune_gc_and_gil() -> None:
    """Tune the process; call once, after all imports and before the first poll.

    ``gc.freeze`` excludes imported objects from garbage collection, whose traversal blocks the event loop for
    10 to 20 ms. The GIL switch interval is 0.5 ms instead of 5 ms, because the event loop needs the GIL
    several times per request.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_GIL_SWITCH_INTERVAL)


def release_gil() -> None:
    """Release the GIL from a worker thread, so that the event loop runs before the switch interval ends."""
    time.sleep(_RELEASE_SECONDS)


def yielding(rows: Iterable[T]) -> Iterator[T]:
    """Yield the rows, and release the GIL after every 100; for worker threads."""
    rows = iter(rows)
    while chunk := list(islice(rows, _YIELD_EVERY)):
        yield from chunk
        if len(chunk) == _YIELD_EVERY:
            release_gil()
