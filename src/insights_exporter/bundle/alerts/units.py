"""Numbers with units, as people read them."""

from __future__ import annotations

__all__ = ["format_threshold"]


def format_threshold(value: float, unit: str) -> str:
    """Return a threshold in the largest unit that keeps it whole."""
    if unit == "share":
        return f"{100 * value:g} %"
    if unit != "seconds":
        return f"{value:g} {unit}"
    if value < 1:
        return f"{1000 * value:g} ms"
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        count = value / length
        if count >= 1 and count == int(count):
            return f"{count:g} {name if count > 1 else name[:-1]}"
    return f"{value:g} s"
