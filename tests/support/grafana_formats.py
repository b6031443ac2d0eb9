"""Grafana's value formatters, ported from ``packages/grafana-data/src/valueFormats`` of Grafana 11.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor, log10
from typing import Final

__all__ = ["format_value"]

_SECOND_STEPS: Final = (
    (60.0, 1.0, " s"),
    (3600.0, 60.0, " min"),
    (86_400.0, 3600.0, " hour"),
    (604_800.0, 86_400.0, " day"),
    (31_536_000.0, 604_800.0, " week"),
    (float("inf"), 31_557_600.0, " year"),
)
_HOUR_STEPS: Final = (
    (24.0, 1.0, " hour"),
    (168.0, 24.0, " day"),
    (8760.0, 168.0, " week"),
    (float("inf"), 8760.0, " year"),
)


def format_value(unit: str, value: float, decimals: int | None = None) -> str:
    """Return the text that Grafana shows for a value; raise KeyError for a unit that is not ported."""
    key, _, text = unit.partition(":")
    if key == "suffix":
        return f"{_to_fixed(value, decimals)} {text}"
    return _FORMATTERS[unit](value, decimals)


def _to_fixed(value: float, decimals: int | None) -> str:
    return f"{value:.{_default_decimals(value) if decimals is None else decimals}f}"


def _default_decimals(value: float) -> int:
    """Return the decimals for which about three digits are shown, without trailing zeros."""
    if value == 0:
        return 0
    decimals = -floor(log10(abs(value))) + 1
    # A leading 2.5 needs one more digit.
    if abs(value) * 10.0**decimals > 2.25:
        decimals += 1
    return 0 if value == int(value) else max(0, decimals)


def _scaled(steps: tuple[tuple[float, float, str], ...]) -> Callable[[float, int | None], str]:
    def format_scaled(value: float, decimals: int | None) -> str:
        divisor, suffix = next((divisor, text) for limit, divisor, text in steps if abs(value) < limit)
        scaled = value / divisor
        plural = "s" if divisor > 1 and abs(scaled) > 1 else ""
        return f"{_to_fixed(scaled, decimals)}{suffix}{plural}"

    return format_scaled


def _clock(value: float, _: int | None) -> str:
    """Return hours and minutes as ``HH`` and ``mm`` of a date in UTC: 100 hours begin again at 0."""
    hours, minutes = divmod(round(value) // 60, 60)
    return f"{hours % 100:02d}h:{minutes:02d}m"


_FORMATTERS: Final[Mapping[str, Callable[[float, int | None], str]]] = {
    "none": _to_fixed,
    "s": _scaled(_SECOND_STEPS),
    "h": _scaled(_HOUR_STEPS),
    "clocks": _clock,
}
