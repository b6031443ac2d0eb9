"""Settings of the interpreter that keep scrapes quick while polls and renders run in the same process."""

from __future__ import annotations

import gc
import sys
from typing import Final

__all__ = ["settle"]

_SWITCH_INTERVAL: Final = 5e-4


def settle() -> None:
    """Tune the whole process; call once, after everything is imported and before anything is polled.

    What was imported is taken out of garbage collection: it never becomes garbage, and looking through it
    again and again holds up the event loop for 10 to 20 ms. Threads give way to each other after half a
    millisecond instead of five, as each request has to get its turn several times.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_INTERVAL)
