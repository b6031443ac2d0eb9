"""Writes the dashboards into the tree, or tells whether they are there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from insights_exporter.bundle import boards
from insights_exporter.bundle.boards import Board
from insights_exporter.bundle.dashboards import (
    adoption_report,
    capacity_planning,
    deployment_overview,
    exporter_health,
    template_insights,
    template_optimization,
    user_support,
)
from insights_exporter.bundle.dashboards.board import text

__all__ = ["BUILDERS", "main"]

BUILDERS: Final[Mapping[Board, Callable[[], dict[str, Any]]]] = {
    boards.TEMPLATE_INSIGHTS: template_insights.build,
    boards.DEPLOYMENT_OVERVIEW: deployment_overview.build,
    boards.CAPACITY_PLANNING: capacity_planning.build,
    boards.TEMPLATE_OPTIMIZATION: template_optimization.build,
    boards.USER_SUPPORT: user_support.build,
    boards.ADOPTION_REPORT: adoption_report.build,
    boards.EXPORTER_HEALTH: exporter_health.build,
}


def main(arguments: list[str] | None = None) -> int:
    """Write all dashboards, or with ``--check`` return 1 if one of them is not as it would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("dashboards"))
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args(arguments)
    stale = []
    for board, build in BUILDERS.items():
        path, made = options.folder / f"{board.slug}.json", text(build())
        if path.exists() and path.read_text(encoding="utf-8") == made:
            continue
        stale.append(path)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made, encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{'stale' if options.check else 'written'}: {path}\n")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
