"""Two normal weeks fire no alert above info."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from insights_exporter.metrics.catalogue import agent_stats
from tests.bundle.alerts.promtool import promtool_test_passes
from tests.bundle.alerts.rule_files import CODERD_SERIES, RULE_FILES, group_names, recording_rules
from tests.bundle.alerts.two_weeks import END, OUTAGE_START, WEEKS_START, TwoWeeks
from tests.support.promql import family_of, parse_selectors

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")

CHECK_TIME = WEEKS_START + timedelta(days=8, hours=12)
EXPECTED_INFO_ALERTS = ("AppUnused", "ParameterOptionsUnused", "TemplateUnused", "UserLatencyPersistent")
"""Permanent alerts: unused apps, options and templates, and a user far away."""

HOLIDAY_ALERT = "DeploymentActiveUsersDrop"
ABSENT_RECORDING = "template_app:coder_insights_app_health:unhealthy"


def fired_alerts_check(days: int, *names: str, warning: str = "") -> dict[str, Any]:
    """Return a query for the alerts that fired within some days, with the expected result."""
    query = f'group by (alertname, severity) (max_over_time(ALERTS{{alertstate="firing"}}[{days}d]))'
    severities = dict.fromkeys(names, "info") | ({warning: "warning"} if warning else {})
    series = [
        f'{{alertname="CoderInsights{name}", severity="{severity}"}}' for name, severity in severities.items()
    ]
    return {"expr": query, "exp_samples": [{"labels": labels, "value": 1} for labels in series]}


def recorded_series_check() -> dict[str, Any]:
    """Return a query for recorded series; those without agent statistics and coderd's are expected."""
    names = {
        rule["record"]
        for rule in recording_rules()
        if not any(
            selector.name in CODERD_SERIES or family_of(selector.name) in agent_stats.AGENT_STATS_FAMILIES
            for selector in parse_selectors(rule["expr"])
        )
    }
    samples = [{"labels": name, "value": 1} for name in sorted(names - {ABSENT_RECORDING})]
    return {"expr": 'group by (__name__) ({__name__=~".+:.+:.+"})', "exp_samples": samples}


def promtool_passes(weeks: TwoWeeks, folder: Path) -> bool:
    """Return whether the expected alerts fired in two weeks, and one warning on the day after."""
    promtool_time = weeks.promtool_time
    checks = (
        (CHECK_TIME, recorded_series_check()),
        (OUTAGE_START - weeks.step, fired_alerts_check(14, HOLIDAY_ALERT, *EXPECTED_INFO_ALERTS)),
        (END - weeks.step, fired_alerts_check(1, *EXPECTED_INFO_ALERTS, warning="AppUsageStopped")),
    )
    unit_test = {
        "interval": f"{weeks.sample_step // timedelta(minutes=1)}m",
        "input_series": [
            {"series": name, "values": values} for name, values in asyncio.run(weeks.scraped_series()).items()
        ],
        "promql_expr_test": [{"eval_time": promtool_time(at), **check} for at, check in checks],
    }
    document = {
        "rule_files": [str(file) for file in RULE_FILES],
        "evaluation_interval": f"{weeks.step // timedelta(minutes=1)}m",
        "group_eval_order": group_names(),
        "tests": [unit_test],
    }
    return promtool_test_passes(folder, document)


@pytest.mark.long
def test_two_normal_weeks_fire_no_alert_above_info(tmp_path: Path) -> None:
    """The app outage on the day after shows that the rules evaluated the series."""
    assert promtool_passes(TwoWeeks(), tmp_path)
