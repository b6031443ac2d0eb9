"""The dashboards as they stand in the tree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["BOARDS", "FOLDER", "Panel", "board", "boards", "every_panel", "variables"]

FOLDER: Final = Path(__file__).parents[2] / "dashboards"
BOARDS: Final = tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


@dataclass(frozen=True)
class Panel:
    """A panel, and the dashboard that it is on."""

    board: str
    json: Mapping[str, Any]

    def __str__(self) -> str:
        """Return how a test calls it; two panels of a dashboard may have one title."""
        return f"{self.board} {self.json['id']} {self.title}"

    @property
    def title(self) -> str:
        """What stands above it."""
        return str(self.json["title"])

    @property
    def type(self) -> str:
        """Which kind of panel it is."""
        return str(self.json["type"])

    @property
    def place(self) -> Mapping[str, int]:
        """Where it stands: ``x``, ``y``, ``w`` and ``h``."""
        found: Mapping[str, int] = self.json["gridPos"]
        return found

    @property
    def targets(self) -> list[dict[str, Any]]:
        """What it asks."""
        return list(self.json.get("targets", ()))

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """What single fields have instead of the defaults."""
        return list(self.json["fieldConfig"]["overrides"])


@cache
def board(slug: str) -> dict[str, Any]:
    """Return a dashboard; it must not be changed."""
    found: dict[str, Any] = json.loads((FOLDER / f"{slug}.json").read_text(encoding="utf-8"))
    return found


def boards() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all dashboards by the names of their files."""
    for slug in BOARDS:
        yield slug, board(slug)


def every_panel(*slugs: str, rows: bool = False) -> list[Panel]:
    """Return the panels of some dashboards, or of all, in reading order."""
    return [
        Panel(slug, one)
        for slug in slugs or BOARDS
        for one in _panels(board(slug)["panels"])
        if rows or one["type"] != "row"
    ]


def _panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in panels:
        yield one
        yield from _panels(one.get("panels", []))


def variables(slug: str) -> list[dict[str, Any]]:
    """Return a dashboard's variables, in the order in which Grafana fills them."""
    found: list[dict[str, Any]] = board(slug)["templating"]["list"]
    return found
