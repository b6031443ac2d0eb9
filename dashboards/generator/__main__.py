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
from tools.generated_files import write_or_check

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
    files = {
        args.folder / f"{info.slug}.json": dashboard_json(build())
        for info, build in DASHBOARD_BUILDERS.items()
    }
    return write_or_check(files, check=args.check)


if __name__ == "__main__":
    sys.exit(main())
