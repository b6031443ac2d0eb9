"""Filter of expositions for the series that rules select."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from tests.bundle.alerts.rule_files import alerting_rules, recording_rules
from tests.support.promql import parse_selectors

__all__ = ["filter_exposition", "needed_samples"]

_LINE: Final = re.compile(rb"^(\w+(?:\{.*\})?) (\S+)\n", re.MULTILINE)


def needed_samples(exposition: bytes) -> Iterator[tuple[str, str]]:
    """Yield series and value of each sample that a rule may select."""
    for line in _LINE.finditer(exposition):
        if _is_needed(line[1]):
            yield line[1].decode(), line[2].decode()


def filter_exposition(exposition: bytes) -> bytes:
    """Return the lines of an exposition that a rule may select."""
    return b"".join(line[0] for line in _LINE.finditer(exposition) if _is_needed(line[1]))


@cache
def _is_needed(series: bytes) -> bool:
    name, _, labels = series.partition(b"{")
    return any(
        all(pair in labels for pair in required_labels)
        for required_labels in _required_labels_by_name().get(name.decode(), ())
    )


@cache
def _required_labels_by_name() -> dict[str, list[list[bytes]]]:
    """Return the required label pairs by series name, one list per selector."""
    required_by_name: dict[str, list[list[bytes]]] = {}
    for rule in (*recording_rules(), *alerting_rules()):
        for selector in parse_selectors(rule["expr"]):
            pairs = {name: value for name, (operator, value) in selector.matchers.items() if operator == "="}
            required_labels = [f'{name}="{value}"'.encode() for name, value in pairs.items() if name != "job"]
            required_by_name.setdefault(selector.name, []).append(required_labels)
    return required_by_name
