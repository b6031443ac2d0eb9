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
from tests.bundle.alerts.rule_files import RULE_FILES, group_names, recording_rules
from tests.bundle.alerts.two_weeks import END, OUTAGE_START, WEEKS_START, TwoWeeks
from tests.support.promql import family_of, parse_selectors

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")

CHECK_TIME = WEEKS_START + timedelta(days=8, hours=12)
EXPECTED_INFO_ALERTS = ("AppUnused", "ParameterOptionsUnused", "TemplateUnused", "UserLatencyPersistent")
"""What stands all the time: things that nobody uses, and somebody who is far away."""
HOLIDAY_ALERT = "DeploymentActiveUsersDrop"
ABSENT_RECORDING = "template_app:coder_insights_app_health:unhealthy"


def fired_alerts_check(days: int, *names: str, warning: str = "") -> dict[str, Any]:
    """Return the question which alerts fired within some days, and the answer."""
    query = f'group by (alertname, severity) (max_over_time(ALERTS{{alertstate="firing"}}[{days}d]))'
    severities = dict.fromkeys(names, "info") | ({warning: "warning"} if warning else {})
    series = [
        f'{{alertname="CoderInsights{name}", severity="{severity}"}}' for name, severity in severities.items()
    ]
    return {"expr": query, "exp_samples": [{"labels": labels, "value": 1} for labels in series]}


def recorded_series_check() -> dict[str, Any]:
    """Return the question which series are recorded, and the answer: all that need no agents' reports."""
    names = {
        rule["record"]
        for rule in recording_rules()
        if not any(
            family_of(selector.name) in agent_stats.FAMILIES for selector in parse_selectors(rule["expr"])
        )
    }
    samples = [{"labels": name, "value": 1} for name in sorted(names - {ABSENT_RECORDING})]
    return {"expr": 'group by (__name__) ({__name__=~".+:.+:.+"})', "exp_samples": samples}


def promtool_passes(weeks: TwoWeeks, folder: Path) -> bool:
    """Say whether promtool sees no alert but what it should in two weeks, and a warning on the day after."""
    promtool_time = weeks.promtool_time
    checks = (
        (CHECK_TIME, recorded_series_check()),
        (OUTAGE_START - weeks.step, fired_alerts_check(14, HOLIDAY_ALERT, *EXPECTED_INFO_ALERTS)),
        (END - weeks.step, fired_alerts_check(1, *EXPECTED_INFO_ALERTS, warning="AppUsageStopped")),
    )
    unit_test = {
        "interval": f"{weeks.step // timedelta(minutes=1)}m",
        "input_series": [
            {"series": name, "values": values} for name, values in asyncio.run(weeks.scraped_series()).items()
        ],
        "promql_expr_test": [{"eval_time": promtool_time(at), **check} for at, check in checks],
    }
    document = {
        "rule_files": [str(file) for file in RULE_FILES],
        "evaluation_interval": unit_test["interval"],
        "group_eval_order": group_names(),
        "tests": [unit_test],
    }
    file = folder / "test.yml"
    file.write_text(json.dumps(document))
    result = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    sys.stdout.write(result.stdout + result.stderr)
    return result.returncode == 0


@pytest.mark.long
def test_two_normal_weeks_fire_no_alert_above_info(tmp_path: Path) -> None:
    """The app that stops on the day after shows that the rules have seen them."""
    assert promtool_passes(TwoWeeks(), tmp_path)
