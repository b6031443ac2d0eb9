"""Ordinary weeks call nobody."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from insights_exporter.metrics.catalogue import agent_stats
from tests.alerts.tree import RULE_FILES, group_names, recordings
from tests.alerts.weeks import BEGIN, END, FAULT, Weeks
from tests.support.promql import family_of, selectors

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")

NOON = BEGIN + timedelta(days=8, hours=12)
UNUSED = ("AppUnused", "ParameterOptionsUnused", "TemplateUnused", "UserLatencyStanding")
"""What stands all the time: things that nobody uses, and somebody who is far away."""
HOLIDAY = "DeploymentActiveUsersDrop"
ILL = "template_app:coder_insights_app_health:unhealthy"


def fired(days: int, *names: str, warning: str = "") -> dict[str, Any]:
    """Return the question which alerts fired within some days, and the answer."""
    found = f'group by (alertname, severity) (max_over_time(ALERTS{{alertstate="firing"}}[{days}d]))'
    severities = dict.fromkeys(names, "info") | ({warning: "warning"} if warning else {})
    told = [
        f'{{alertname="CoderInsights{name}", severity="{severity}"}}' for name, severity in severities.items()
    ]
    return {"expr": found, "exp_samples": [{"labels": labels, "value": 1} for labels in told]}


def recorded() -> dict[str, Any]:
    """Return the question which series are recorded, and the answer: all that need no agents' reports."""
    names = {
        rule["record"]
        for rule in recordings()
        if not any(family_of(one.name) in agent_stats.FAMILIES for one in selectors(rule["expr"]))
    }
    samples = [{"labels": name, "value": 1} for name in sorted(names - {ILL})]
    return {"expr": 'group by (__name__) ({__name__=~".+:.+:.+"})', "exp_samples": samples}


def agrees(weeks: Weeks, folder: Path) -> bool:
    """Say whether promtool sees no alert but what it should in two weeks, and a warning on the day after."""
    step = weeks.minute
    asked = (
        (NOON, recorded()),
        (FAULT - weeks.step, fired(14, HOLIDAY, *UNUSED)),
        (END - weeks.step, fired(1, *UNUSED, warning="AppUsageStopped")),
    )
    story = {
        "interval": f"{weeks.step // timedelta(minutes=1)}m",
        "input_series": [
            {"series": name, "values": values} for name, values in asyncio.run(weeks.scraped()).items()
        ],
        "promql_expr_test": [{"eval_time": step(at), **one} for at, one in asked],
    }
    document = {
        "rule_files": [str(file) for file in RULE_FILES],
        "evaluation_interval": story["interval"],
        "group_eval_order": group_names(),
        "tests": [story],
    }
    file = folder / "test.yml"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode == 0


@pytest.mark.long
def test_two_ordinary_weeks_with_weekends_and_a_holiday_fire_nothing_above_info(tmp_path: Path) -> None:
    """The app that stops on the day after shows that the rules have seen them."""
    assert agrees(Weeks(), tmp_path)
