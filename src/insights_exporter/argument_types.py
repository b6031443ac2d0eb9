"""Types of command line arguments: each parses a text or raises an error that names what was expected."""

from __future__ import annotations

import argparse
import math
from datetime import date
from typing import Final

from insights_exporter.config.types import parse_duration

__all__ = ["day", "duration", "listen_address", "metrics_path", "port", "positive_seconds"]

_RESERVED_PATHS: Final = ("/", "/config", "/-/healthy", "/-/ready", "/-/reload")
"""Paths of the server that `--web.telemetry-path` must not take."""

_MAX_PORT: Final = 65535
_MIN_YEAR: Final = 2000


def listen_address(text: str) -> tuple[str, str]:
    """Return host and port of an address such as ``:9766``; an empty host means all addresses."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not port.isdecimal() or (":" in host and not text.startswith("[")):
        raise argparse.ArgumentTypeError(
            f'expected [HOST]:PORT such as ":9766" or "[::1]:9766", got "{text}"'
        )
    return host or "0.0.0.0", port  # noqa: S104  # An empty host means all addresses, as in other exporters.


def metrics_path(text: str) -> str:
    """Return a path that no other route of the server has."""
    if (
        not text.startswith("/")
        or text in _RESERVED_PATHS
        or not text.isprintable()
        or set(text) & set("{}?# ")
    ):
        raise argparse.ArgumentTypeError(
            f'expected a path such as "/metrics", and none of {", ".join(_RESERVED_PATHS)}, got "{text}"'
        )
    return text


def day(text: str) -> date:
    """Return a day since the year 2000, as ``YYYY-MM-DD``."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year < _MIN_YEAR:
        raise argparse.ArgumentTypeError(f'expected a day such as "2026-10-01", got "{text}"')
    return day


def duration(text: str) -> float:
    """Return the seconds of a duration such as ``90d``."""
    try:
        return parse_duration(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'expected a duration such as "90d" or "5s", got "{text}"') from None


def port(text: str) -> int:
    """Return a port; 0 stands for any free port."""
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f'expected a port from 0 to {_MAX_PORT}, got "{text}"')
    return int(text)


def positive_seconds(text: str) -> float:
    """Return finite seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f'expected seconds > 0, got "{text}"')
    return seconds
