"""Which samples of a page the rules look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from tests.alerts.tree import alerts, recordings
from tests.support.promql import selectors

__all__ = ["kept", "samples"]

_LINE: Final = re.compile(rb"^(\w+(?:\{.*\})?) (\S+)\n", re.MULTILINE)


def samples(page: bytes) -> Iterator[tuple[str, str]]:
    """Yield series and value of each sample that some rule may look at."""
    for line in _LINE.finditer(page):
        if _is_needed(line[1]):
            yield line[1].decode(), line[2].decode()


def kept(page: bytes) -> bytes:
    """Return the lines of a page that some rule may look at."""
    return b"".join(line[0] for line in _LINE.finditer(page) if _is_needed(line[1]))


@cache
def _is_needed(series: bytes) -> bool:
    name, _, labels = series.partition(b"{")
    return any(all(pair in labels for pair in wanted) for wanted in _needed().get(name.decode(), ()))


@cache
def _needed() -> dict[str, list[list[bytes]]]:
    """Return by name what the labels of a series must hold, one list for each selector."""
    found: dict[str, list[list[bytes]]] = {}
    for rule in (*recordings(), *alerts()):
        for one in selectors(rule["expr"]):
            pairs = {name: value for name, (operator, value) in one.matchers.items() if operator == "="}
            wanted = [f'{name}="{value}"'.encode() for name, value in pairs.items() if name != "job"]
            found.setdefault(one.name, []).append(wanted)
    return found
