"""Settings of the interpreter that keep scrapes quick while polls and renders run in the same process."""

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
_RELEASE_SECONDS: Final = 5e-5
_YIELD_EVERY: Final = 100


def tune_gc_and_gil() -> None:
    """Tune the whole process; call once, after everything is imported and before anything is polled.

    What was imported is taken out of garbage collection: it never becomes garbage, and looking through it
    again and again holds up the event loop for 10 to 20 ms. Threads give way to each other after half a
    millisecond instead of five, as each request has to get its turn several times.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_GIL_SWITCH_INTERVAL)


def release_gil() -> None:
    """Let the event loop run now, and not only after its switch interval; for other threads to call."""
    time.sleep(_RELEASE_SECONDS)


def yielding(rows: Iterable[T]) -> Iterator[T]:
    """Yield the same, and give way now and then; for other threads than the event loop's."""
    rows = iter(rows)
    while chunk := list(islice(rows, _YIELD_EVERY)):
        yield from chunk
        if len(chunk) == _YIELD_EVERY:
            release_gil()
