"""The recording rule on coderd's counter of builds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.bundle.alerts.promtool import promtool_test_passes
from tests.bundle.alerts.rule_files import ALERTS_FOLDER

RECORDED: Final = "instance:coderd_workspace_builds_total:sum"
LABELS: Final = 'job="coderd", template_name="go-dev", workspace_transition="START", status="success"'

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")


def counter(instance: str, workspace: str, values: str) -> dict[str, str]:
    """Return the builds of one workspace, as one coderd counts them."""
    labels = (
        f'instance="{instance}", workspace_name="{workspace}", workspace_owner="ada", template_version="v1"'
    )
    return {"series": f"coderd_workspace_builds_total{{{LABELS}, {labels}}}", "values": values}


def passes(folder: Path, series: list[dict[str, str]], query: str, samples: list[tuple[str, float]]) -> bool:
    """Return whether a query has these samples after an hour."""
    expected = [{"labels": labels, "value": value} for labels, value in samples]
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": "1h", "exp_samples": expected}],
    }
    rules = ALERTS_FOLDER / "prometheus" / "recording-rules.yml"
    return promtool_test_passes(
        folder, {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}
    )


def test_the_first_build_of_a_new_workspace_counts(tmp_path: Path) -> None:
    """Its series starts at 1, so its own increase is 0."""
    series = [counter("a", "old", "5x60"), counter("a", "new", "_x30 1x29")]

    assert passes(tmp_path, series, f"round(increase({RECORDED}[59m]))", [(f'{{{LABELS}, instance="a"}}', 1)])


def test_a_restart_of_one_replica_loses_no_builds(tmp_path: Path) -> None:
    """Replica b restarts after half an hour and counts two builds since."""
    series = [counter("a", "one", "9x60"), counter("b", "two", "7x30 _x4 2x25")]
    query = f"sum by (template_name) (round(increase({RECORDED}[59m])))"

    assert passes(tmp_path, series, query, [('{template_name="go-dev"}', 2)])


def test_it_is_silent_unless_coderd_is_scraped(tmp_path: Path) -> None:
    assert passes(tmp_path, [], RECORDED, [])
