"""The alerts as they stand in the tree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["ALERTS_FOLDER", "RULE_FILES", "alerting_rules", "grafana_rules", "group_names", "recording_rules"]

ALERTS_FOLDER: Final = Path(__file__).parents[3] / "alerts"
RULE_FILES: Final = tuple(sorted((ALERTS_FOLDER / "prometheus").glob("*.yml")))


@cache
def _load_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def _rules(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        for group in _load_yaml(path)["groups"]:
            yield from group["rules"]


def alerting_rules() -> list[dict[str, Any]]:
    """Return the alerts of Prometheus' form."""
    return [rule for rule in _rules(*RULE_FILES) if "alert" in rule]


def recording_rules() -> list[dict[str, Any]]:
    """Return the recorded series."""
    return [rule for rule in _rules(*RULE_FILES) if "record" in rule]


def group_names() -> list[str]:
    """Return the groups of Prometheus' form, those that record before those that read."""
    groups = [group for path in RULE_FILES for group in _load_yaml(path)["groups"]]
    groups.sort(key=lambda group: "alert" in group["rules"][0])
    return [group["name"] for group in groups]


def grafana_rules() -> list[dict[str, Any]]:
    """Return the alerts of Grafana's form."""
    return list(_rules(ALERTS_FOLDER / "grafana" / "coder-insights.yaml"))
