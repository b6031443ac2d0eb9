"""Recorded responses of real Coder servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["GOLDENS", "golden"]

GOLDENS: Final = Path(__file__).parents[1] / "goldens"


def golden(path: str) -> Any:
    """Return the decoded JSON of a recording."""
    return msgspec.json.decode((GOLDENS / path).read_bytes())
