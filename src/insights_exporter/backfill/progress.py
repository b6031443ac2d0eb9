"""The progress bar of long phases."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(description: str, *, total: int) -> tqdm[Any]:
    """Return a bar with the time left, which is quiet unless standard error is a terminal."""
    return tqdm(
        desc=description,
        total=total,
        disable=None,
        bar_format="{desc} {percentage:3.0f}% |{bar}| {remaining} left",
    )
