"""Panels that are empty while all is well, shown what they wait for: each then says the right number."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.dashboards.test_panels import EVENT_TARGETS
from tests.support.dashboards import all_panels, dashboard_variables
from tests.support.grafana import interpolate_variables

TARGET_LABELS: Final = 'job="coder-insights", instance="a"'
PREFIX: Final = "coder_insights_exporter_"

EVENT_CASES: Final[dict[tuple[str, str, str], tuple[str, dict[str, str], str, float]]] = {
    ("capacity-planning", "Days until seats run out", "A"): (
        "27d",
        {
            f"coder_insights_license_user_limit{{{TARGET_LABELS}}}": "200x27",
            # One more each day: 127 of 200 are taken at the end.
            f'coder_insights_users{{{TARGET_LABELS}, status="active"}}': "100+1x27",
        },
        "{}",
        73,
    ),
    ("exporter-health", "Errors by collector", "A"): (
        "40m",
        {
            f'{PREFIX}collector_errors_total{{{TARGET_LABELS}, collector="insights", reason="timeout"}}': "0+1x40"
        },
        '{collector="insights", reason="timeout"}',
        20,
    ),
    ("exporter-health", "Retries", "A"): (
        "40m",
        {f'{PREFIX}api_retries_total{{{TARGET_LABELS}, endpoint="templates", reason="server"}}': "0+2x40"},
        '{reason="server"}',
        40,
    ),
    ("exporter-health", "Unusable answers", "A"): (
        "40m",
        {f'{PREFIX}rows_dropped_total{{{TARGET_LABELS}, endpoint="users"}}': "0+1x40"},
        '{endpoint="users"}',
        20,
    ),
    ("exporter-health", "Folded series", "A"): (
        "40m",
        {f'{PREFIX}series_folded{{{TARGET_LABELS}, family="coder_insights_user_info"}}': "7x40"},
        '{family="coder_insights_user_info"}',
        7,
    ),
    ("exporter-health", "Counter corrections", "A"): (
        "40m",
        {f"{PREFIX}corrections_total{{{TARGET_LABELS}}}": "0+1x40"},
        '{instance="a"}',
        20,
    ),
    ("exporter-health", "Pushes", "A"): (
        "40m",
        {f'{PREFIX}otlp_exports_total{{{TARGET_LABELS}, result="ok"}}': "0+1x40"},
        '{result="ok"}',
        20,
    ),
}
"""When to look, what there is to see, and what is found of it: labels and a number."""


def test_every_event_target_has_a_case() -> None:
    assert set(EVENT_CASES) == set(EVENT_TARGETS)


def target_query(slug: str, title: str, letter: str) -> str:
    """Return a target's query over all exporters, with the rates of a panel with steps of 5 minutes."""
    (target,) = [
        target
        for panel in all_panels(slug)
        if panel.title == title
        for target in panel.targets
        if target["refId"] == letter
    ]
    selection = {
        variable["name"]: "$__all" for variable in dashboard_variables(slug) if variable.get("includeAll")
    }
    return interpolate_variables(
        target["expr"], dashboard_variables(slug), selection, {"__rate_interval": "20m"}
    )


def promtool_case(key: tuple[str, str, str]) -> dict[str, Any]:
    eval_time, series, labels, value = EVENT_CASES[key]
    return {
        "name": " ".join(key),
        "interval": "1d" if eval_time.endswith("d") else "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": target_query(*key),
                "eval_time": eval_time,
                "exp_samples": [{"labels": labels, "value": value}],
            }
        ],
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
@pytest.mark.parametrize("key", EVENT_CASES, ids=" ".join)
def test_event_targets_return_the_expected_value(key: tuple[str, str, str], tmp_path: Path) -> None:
    file = tmp_path / "story.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [promtool_case(key)]}, width=10_000))
    result = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr
