"""Places of the chart and of what it is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["CHART", "DASHBOARDS", "DEPLOY", "GOLDENS", "MANIFESTS", "ROOT", "VALUE_FILES"]

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
CHART: Final = DEPLOY / "helm" / "insights-exporter"
VALUE_FILES: Final = CHART / "ci"
GOLDENS: Final = ROOT / "tests" / "deploy" / "goldens"
MANIFESTS: Final = DEPLOY / "kubernetes"
DASHBOARDS: Final = ROOT / "dashboards"
