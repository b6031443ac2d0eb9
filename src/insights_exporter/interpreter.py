"""Settings of the interpreter that keep scrapes quick while polls and renders run in the same process."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

__all__ = ["give_way", "in_turns", "settle"]

T = TypeVar("T")

_SWITCH_INTERVAL: Final = 5e-4
_GIVE_WAY: Final = 5e-5
_TURN: Final = 100


def settle() -> None:
    """Tune the whole process; call once, after everything is imported and before anything is polled.

    What was imported is taken out of garbage collection: it never becomes garbage, and looking through it
    again and again holds up the event loop for 10 to 20 ms. Threads give way to each other after half a
    millisecond instead of five, as each request has to get its turn several times.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_INTERVAL)


def give_way() -> None:
    """Let the event loop run now, and not only after its switch interval; for other threads to call."""
    time.sleep(_GIVE_WAY)


def in_turns(rows: Iterable[T]) -> Iterator[T]:
    """Yield the same, and give way now and then; for other threads than the event loop's."""
    rows = iter(rows)
    while turn := list(islice(rows, _TURN)):
        yield from turn
        if len(turn) == _TURN:
            give_way()
