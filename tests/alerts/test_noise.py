"""Ordinary weeks call nobody."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.alerts.writing import files
from tests.alerts.tree import RULE_FILES, alerts
from tests.alerts.weeks import BEGIN, END, STEP, WEEK, lived

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed."),
]

HOUR = timedelta(hours=1)


def silence(span: timedelta) -> Iterator[dict[str, Any]]:
    """Yield the question whether anything above info fires, for each hour after the first week."""
    for hour in range(span // HOUR):
        at = (WEEK + hour * HOUR) // timedelta(minutes=1)
        for rule in alerts():
            if rule["labels"]["severity"] != "info":
                yield {"eval_time": f"{at}m", "alertname": rule["alert"], "exp_alerts": []}


def judged(folder: Path, rules: list[str], scraped: list[dict[str, str]], span: timedelta) -> str:
    """Let promtool live through the first week and a span, and return what it objects to in that."""
    test = folder / "test.yml"
    document = {
        "rule_files": rules,
        "evaluation_interval": f"{STEP // timedelta(minutes=1)}m",
        "tests": [
            {
                "interval": f"{STEP // timedelta(minutes=1)}m",
                "input_series": scraped,
                "alert_rule_test": list(silence(span)),
            }
        ],
    }
    test.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, width=2**20))
    done = subprocess.run(
        ["promtool", "test", "rules", str(test)], capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


def test_two_ordinary_weeks_with_weekends_and_a_holiday_fire_nothing_above_info(tmp_path: Path) -> None:
    """The same weeks are noisy where one user is enough: they hold people who are far away."""
    scraped = lived()
    loud = Site(thresholds=Thresholds().changed({"slow_users": 1, "slow_users_share": 0.01}))
    rules = []
    for path, text in files(loud).items():
        if path.startswith("prometheus/"):
            file = tmp_path / Path(path).name
            file.write_text(text)
            rules.append(str(file))

    assert judged(tmp_path, [str(file) for file in RULE_FILES], scraped, END - BEGIN - WEEK) == ""
    assert "CoderInsightsTemplateLatencyHigh" in judged(tmp_path, rules, scraped, timedelta(days=1))
