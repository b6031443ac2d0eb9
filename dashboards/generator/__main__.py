"""Write the dashboards, or check that the committed files are up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from dashboards.generator import (
    adoption_report,
    capacity_planning,
    deployment_overview,
    exporter_health,
    template_insights,
    template_optimization,
    user_support,
)
from insights_exporter.bundle import registry
from insights_exporter.bundle.customize import dashboard_json
from insights_exporter.bundle.registry import DashboardInfo

__all__ = ["DASHBOARD_BUILDERS", "main"]

DASHBOARD_BUILDERS: Final[Mapping[DashboardInfo, Callable[[], dict[str, Any]]]] = {
    registry.TEMPLATE_INSIGHTS: template_insights.build,
    registry.DEPLOYMENT_OVERVIEW: deployment_overview.build,
    registry.CAPACITY_PLANNING: capacity_planning.build,
    registry.TEMPLATE_OPTIMIZATION: template_optimization.build,
    registry.USER_SUPPORT: user_support.build,
    registry.ADOPTION_REPORT: adoption_report.build,
    registry.EXPORTER_HEALTH: exporter_health.build,
}


def main(argv: list[str] | None = None) -> int:
    """Write all dashboards; with ``--check``, return 1 if a file is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("dashboards"))
    parser.add_argument("--check", action="store_true", help="compare only; exit with 1 if a file is stale")
    args = parser.parse_args(argv)
    stale = []
    for info, build in DASHBOARD_BUILDERS.items():
        path, rendered = args.folder / f"{info.slug}.json", dashboard_json(build())
        if path.exists() and path.read_text(encoding="utf-8") == rendered:
            continue
        stale.append(path)
        if not args.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rendered, encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{'stale' if args.check else 'written'}: {path}\n")
    return 1 if stale and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
