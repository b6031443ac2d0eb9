"""Panels that are empty while all is well, shown what they wait for: each then says the right number."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.bundle.test_panels import QUIET
from tests.support.boards import every_panel, variables
from tests.support.grafana import interpolated

OURS: Final = 'job="coder-insights", instance="a"'
EXPORTER: Final = "coder_insights_exporter_"

STORIES: Final[dict[tuple[str, str, str], tuple[str, dict[str, str], str, float]]] = {
    ("capacity-planning", "Days until seats run out", "A"): (
        "27d",
        {
            f"coder_insights_license_user_limit{{{OURS}}}": "200x27",
            # One more each day: 127 of 200 are taken at the end.
            f'coder_insights_users{{{OURS}, status="active"}}': "100+1x27",
        },
        "{}",
        73,
    ),
    ("exporter-health", "Errors by collector", "A"): (
        "40m",
        {f'{EXPORTER}collector_errors_total{{{OURS}, collector="insights", reason="timeout"}}': "0+1x40"},
        '{collector="insights", reason="timeout"}',
        20,
    ),
    ("exporter-health", "Retries", "A"): (
        "40m",
        {f'{EXPORTER}api_retries_total{{{OURS}, endpoint="templates", reason="server"}}': "0+2x40"},
        '{reason="server"}',
        40,
    ),
    ("exporter-health", "Unusable answers", "A"): (
        "40m",
        {f'{EXPORTER}rows_dropped_total{{{OURS}, endpoint="users"}}': "0+1x40"},
        '{endpoint="users"}',
        20,
    ),
    ("exporter-health", "Folded series", "A"): (
        "40m",
        {f'{EXPORTER}series_folded{{{OURS}, family="coder_insights_user_info"}}': "7x40"},
        '{family="coder_insights_user_info"}',
        7,
    ),
    ("exporter-health", "Counter corrections", "A"): (
        "40m",
        {f"{EXPORTER}corrections_total{{{OURS}}}": "0+1x40"},
        '{instance="a"}',
        20,
    ),
    ("exporter-health", "Pushes", "A"): (
        "40m",
        {f'{EXPORTER}otlp_exports_total{{{OURS}, result="ok"}}': "0+1x40"},
        '{result="ok"}',
        20,
    ),
}
"""When to look, what there is to see, and what is found of it: labels and a number."""


def test_every_quiet_panel_has_its_story() -> None:
    assert set(STORIES) == set(QUIET)


def asked(slug: str, title: str, letter: str) -> str:
    """Return a target's query over all exporters, with the rates of a panel with steps of 5 minutes."""
    (target,) = [
        target
        for panel in every_panel(slug)
        if panel.title == title
        for target in panel.targets
        if target["refId"] == letter
    ]
    chosen = {one["name"]: "$__all" for one in variables(slug) if one.get("includeAll")}
    return interpolated(target["expr"], variables(slug), chosen, {"__rate_interval": "20m"})


def case(key: tuple[str, str, str]) -> dict[str, Any]:
    moment, series, labels, value = STORIES[key]
    return {
        "name": " ".join(key),
        "interval": "1d" if moment.endswith("d") else "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": asked(*key), "eval_time": moment, "exp_samples": [{"labels": labels, "value": value}]}
        ],
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
@pytest.mark.parametrize("key", STORIES, ids=" ".join)
def test_it_says_the_right_number(key: tuple[str, str, str], tmp_path: Path) -> None:
    file = tmp_path / "story.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case(key)]}, width=10_000))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
