"""Each alert fires when it should, says what it should, stays silent when it nearly should, and ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml

from insights_exporter.bundle.alerts import InstallOptions, renderers, rule_groups
from insights_exporter.bundle.alerts.model import ALERT_PREFIX
from tests.bundle.alerts.cases import exporter, latency, usage
from tests.bundle.alerts.cases.series import JOB, FiringCase, Scenario
from tests.bundle.alerts.rule_files import alerting_rules, recording_rules
from tests.support.promql import parse_selectors

CASES: Final = (*exporter.CASES, *latency.CASES, *usage.CASES)
SCENARIOS: Final = (*exporter.SCENARIOS, *latency.SCENARIOS, *usage.SCENARIOS)
RULES_BY_ALERT: Final = {rule["alert"]: rule for rule in alerting_rules()}

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")


def expected_annotations(case: FiringCase) -> dict[str, str]:
    """Return the annotations that whoever is called must read; the links lead to what the labels name."""
    rule = RULES_BY_ALERT[ALERT_PREFIX + case.alert]["annotations"]
    address = urlsplit(rule["dashboard_url"])
    panel = address.query.split("&", 1)[0]
    return {
        "summary": rule["summary"],
        "description": case.description,
        "runbook_url": f"https://runbooks.example.com/coder-insights/{ALERT_PREFIX}{case.alert}.md",
        "dashboard_url": f"http://localhost:3000{address.path}?{panel}&var-job={JOB}{case.url_variables}",
    }


def expected_labels(alert: str, alert_labels: Mapping[str, str]) -> dict[str, str]:
    return {
        "severity": RULES_BY_ALERT[ALERT_PREFIX + alert]["labels"]["severity"],
        "job": JOB,
        **alert_labels,
    }


def promtool_test(step: str, series: Mapping[str, str], checks: Iterable[tuple[str, str, list[Any]]]) -> Any:
    """Return a unit test of promtool: at these times, these alerts."""
    return {
        "interval": step,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": eval_time, "alertname": ALERT_PREFIX + alert, "exp_alerts": expected_alerts}
            for eval_time, alert, expected_alerts in checks
        ],
    }


def rule_with_dependencies(
    alert: Mapping[str, Any], recorded: Sequence[Mapping[str, Any]] = tuple(recording_rules())
) -> list[Mapping[str, Any]]:
    """Return an alert's rule behind the recorded series that it reads, and that these read."""
    rules, required_names = [alert], _referenced_series(alert)
    for rule in reversed(recorded):
        if rule["record"] in required_names:
            rules.insert(0, rule)
            required_names |= _referenced_series(rule)
    return rules


def _referenced_series(rule: Mapping[str, Any]) -> set[str]:
    return {selector.name for selector in parse_selectors(rule["expr"])}


def promtool_passes(tmp_path: Path, rules: Sequence[Mapping[str, Any]], step: str, *tests: Any) -> bool:
    """Say whether promtool agrees, and write what it objects to."""
    rule_file = {"groups": [{"name": "tested", "rules": list(rules)}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule_file))
    document = {"rule_files": ["rules.yml"], "evaluation_interval": step, "tests": list(tests)}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(document))
    command = ["promtool", "test", "rules", str(file)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    sys.stdout.write(result.stdout + result.stderr)
    return result.returncode == 0


promtool_test.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_after_its_for_duration_and_resolves_and_its_near_miss_is_silent(
    case: FiringCase, tmp_path: Path
) -> None:
    """Both replicas serve each series, and one notification must come of it."""
    firing = [
        {
            "exp_labels": expected_labels(case.alert, case.labels),
            "exp_annotations": expected_annotations(case),
        }
    ]
    lifecycle = promtool_test(
        case.step,
        case.firing_series,
        [
            (case.pending_at, case.alert, []),
            (case.firing_at, case.alert, firing),
            (case.resolved_at, case.alert, []),
        ],
    )
    near_miss = promtool_test(
        case.step, case.firing_series | case.near_miss_series, [(case.firing_at, case.alert, [])]
    )

    assert promtool_passes(
        tmp_path,
        rule_with_dependencies(RULES_BY_ALERT[ALERT_PREFIX + case.alert]),
        case.step,
        lifecycle,
        near_miss,
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenarios(scenario: Scenario, tmp_path: Path) -> None:
    """Where only the labels are of interest, the texts are those of the rule."""
    expected = [expected_labels(scenario.alert, alert_labels) for alert_labels in scenario.firing_labels]
    query = f'ALERTS{{alertname="{ALERT_PREFIX}{scenario.alert}", alertstate="firing"}}'
    samples_labels = [
        {"alertname": ALERT_PREFIX + scenario.alert, "alertstate": "firing", **item} for item in expected
    ]
    samples = [
        {"labels": "ALERTS{" + ", ".join(f'{k}="{v}"' for k, v in item.items()) + "}", "value": 1}
        for item in samples_labels
    ]
    unit_test = promtool_test(scenario.step, scenario.series, []) | {
        "promql_expr_test": [{"expr": query, "eval_time": scenario.eval_time, "exp_samples": samples}]
    }

    assert promtool_passes(
        tmp_path,
        rule_with_dependencies(RULES_BY_ALERT[ALERT_PREFIX + scenario.alert]),
        scenario.step,
        unit_test,
    )


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.alert)
def test_alerts_fire_with_additional_matchers(case: FiringCase, tmp_path: Path) -> None:
    """Recorded series lack the labels of the target, so matchers on these are for what is scraped."""
    options = InstallOptions(matchers=(f'job="{JOB}"', 'cluster="blue"'))
    recordings, alert_rules = (
        [rule for group in document["groups"] for rule in group["rules"]]
        for document in (
            renderers.recording_rule_file(rule_groups(options)),
            renderers.alerting_rule_file(rule_groups(options), options),
        )
    )
    (rule,) = (candidate for candidate in alert_rules if candidate["alert"] == ALERT_PREFIX + case.alert)
    firing = [
        {
            "exp_labels": expected_labels(case.alert, case.labels),
            "exp_annotations": expected_annotations(case),
        }
    ]
    firing_series = {
        name.replace("{", '{cluster="blue", ', 1): values for name, values in case.firing_series.items()
    }
    unit_test = promtool_test(case.step, firing_series, [(case.firing_at, case.alert, firing)])

    assert promtool_passes(tmp_path, rule_with_dependencies(rule, recordings), case.step, unit_test)


def test_every_alert_has_a_firing_case() -> None:
    """With one that fires and a near miss that differs from it."""
    assert sorted(ALERT_PREFIX + case.alert for case in CASES) == sorted(RULES_BY_ALERT)
    assert [
        case.alert for case in CASES if case.firing_series | case.near_miss_series == case.firing_series
    ] == []
