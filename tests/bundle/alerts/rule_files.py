"""The committed alert files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.rules import rule_groups
from insights_exporter.metrics.family import Family
from tests.support.promql import Selector, family_of, parse_selectors

__all__ = [
    "ALERTS_FOLDER",
    "CODERD_SERIES",
    "LABELS_BY_RECORDING",
    "RULE_FILES",
    "alerting_rules",
    "assert_known_series",
    "grafana_rules",
    "group_names",
    "known_family",
    "recording_rules",
    "rule_name",
    "valid_labels",
]

ALERTS_FOLDER: Final = Path(__file__).parents[3] / "alerts"
RULE_FILES: Final = tuple(sorted((ALERTS_FOLDER / "prometheus").glob("*.yml")))
LABELS_BY_RECORDING: Final = {
    recording.name: {*recording.labels, *recording.const_labels}
    for group in rule_groups(InstallOptions())
    for recording in group.recordings
}
CODERD_SERIES: Final = {
    "coderd_workspace_builds_total": {
        *("job", "instance", "workspace_owner", "workspace_name", "template_name", "template_version"),
        *("workspace_transition", "status"),
    }
}
"""Series of coderd, which has a job of its own, with their labels."""

_LABELS_BY_PROMETHEUS_SERIES: Final = {"up": {"job", "instance"}, **CODERD_SERIES}


@cache
def _load_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def _rules(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        for group in _load_yaml(path)["groups"]:
            yield from group["rules"]


def alerting_rules() -> list[dict[str, Any]]:
    """Return the alerting rules of the Prometheus format."""
    return [rule for rule in _rules(*RULE_FILES) if "alert" in rule]


def recording_rules() -> list[dict[str, Any]]:
    """Return the recording rules."""
    return [rule for rule in _rules(*RULE_FILES) if "record" in rule]


def grafana_rules() -> list[dict[str, Any]]:
    """Return the Grafana-managed alerts."""
    return list(_rules(ALERTS_FOLDER / "grafana" / "coder-insights.yaml"))


def group_names() -> list[str]:
    """Return the names of the Prometheus groups, groups of recording rules first."""
    groups = [group for path in RULE_FILES for group in _load_yaml(path)["groups"]]
    groups.sort(key=lambda group: "alert" in group["rules"][0])
    return [group["name"] for group in groups]


def rule_name(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


def known_family(name: str) -> Family | None:
    """Return the family of a series, or None for a series of Prometheus or of a recording rule."""
    if name in LABELS_BY_RECORDING or name in _LABELS_BY_PROMETHEUS_SERIES:
        return None
    family = family_of(name)
    assert family is not None, f"{name} is neither in the catalogue nor recorded"
    return family


def valid_labels(selector: Selector) -> set[str]:
    """Return the labels that a selected series can have."""
    family = known_family(selector.name)
    if family is None:
        return (LABELS_BY_RECORDING | _LABELS_BY_PROMETHEUS_SERIES)[selector.name]
    return {"job", "instance", *family.labels, *(("le",) if selector.name.endswith("_bucket") else ())}


def assert_known_series(expr: str) -> None:
    """Assert that an expression selects only exported or recorded series, by labels that they have."""
    selectors = parse_selectors(expr)
    assert selectors
    for selector in selectors:
        assert set(selector.matchers) <= valid_labels(selector), selector.name
