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

from insights_exporter.bundle.alerts import Site, forms, groups
from insights_exporter.bundle.alerts.model import PREFIX
from tests.alerts.cases import exporter, latency, usage
from tests.alerts.cases.series import JOB, Case, Scene
from tests.alerts.tree import alerts, recordings
from tests.support.promql import selectors

CASES: Final = (*exporter.CASES, *latency.CASES, *usage.CASES)
SCENES: Final = (*exporter.SCENES, *latency.SCENES, *usage.SCENES)
RULES: Final = {rule["alert"]: rule for rule in alerts()}

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")


def told(case: Case) -> dict[str, str]:
    """Return the annotations that whoever is called must read; the links lead to what the labels name."""
    rule = RULES[PREFIX + case.alert]["annotations"]
    address = urlsplit(rule["dashboard_url"])
    panel = address.query.split("&", 1)[0]
    return {
        "summary": rule["summary"],
        "description": case.description,
        "runbook_url": f"https://runbooks.example.com/coder-insights/{PREFIX}{case.alert}.md",
        "dashboard_url": f"http://localhost:3000{address.path}?{panel}&var-job={JOB}{case.variables}",
    }


def labels(alert: str, own: Mapping[str, str]) -> dict[str, str]:
    return {"severity": RULES[PREFIX + alert]["labels"]["severity"], "job": JOB, **own}


def test(step: str, series: Mapping[str, str], checks: Iterable[tuple[str, str, list[Any]]]) -> Any:
    """Return a unit test of promtool: at these times, these alerts."""
    return {
        "interval": step,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": PREFIX + alert, "exp_alerts": expected}
            for at, alert, expected in checks
        ],
    }


def needed(
    alert: Mapping[str, Any], recorded: Sequence[Mapping[str, Any]] = tuple(recordings())
) -> list[Mapping[str, Any]]:
    """Return an alert's rule behind the recorded series that it reads, and that these read."""
    found, names = [alert], _read(alert)
    for rule in reversed(recorded):
        if rule["record"] in names:
            found.insert(0, rule)
            names |= _read(rule)
    return found


def _read(rule: Mapping[str, Any]) -> set[str]:
    return {one.name for one in selectors(rule["expr"])}


def passes(tmp_path: Path, rules: Sequence[Mapping[str, Any]], step: str, *tests: Any) -> bool:
    """Say whether promtool agrees, and write what it objects to."""
    written = {"groups": [{"name": "tested", "rules": list(rules)}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(written))
    document = {"rule_files": ["rules.yml"], "evaluation_interval": step, "tests": list(tests)}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(document))
    command = ["promtool", "test", "rules", str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode == 0


test.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_waits_fires_and_ends_and_its_near_miss_is_silent(case: Case, tmp_path: Path) -> None:
    """Both replicas serve each series, and one notification must come of it."""
    fired = [{"exp_labels": labels(case.alert, case.labels), "exp_annotations": told(case)}]
    story = test(
        case.step,
        case.fires,
        [(case.pending, case.alert, []), (case.at, case.alert, fired), (case.over, case.alert, [])],
    )
    near = test(case.step, case.fires | case.near, [(case.at, case.alert, [])])

    assert passes(tmp_path, needed(RULES[PREFIX + case.alert]), case.step, story, near)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.what)
def test_further_scenes(scene: Scene, tmp_path: Path) -> None:
    """Where only the labels are of interest, the texts are those of the rule."""
    expected = [labels(scene.alert, own) for own in scene.fires]
    query = f'ALERTS{{alertname="{PREFIX}{scene.alert}", alertstate="firing"}}'
    named = [{"alertname": PREFIX + scene.alert, "alertstate": "firing", **one} for one in expected]
    samples = [
        {"labels": "ALERTS{" + ", ".join(f'{k}="{v}"' for k, v in one.items()) + "}", "value": 1}
        for one in named
    ]
    story = test(scene.step, scene.series, []) | {
        "promql_expr_test": [{"expr": query, "eval_time": scene.at, "exp_samples": samples}]
    }

    assert passes(tmp_path, needed(RULES[PREFIX + scene.alert]), scene.step, story)


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.alert)
def test_a_site_with_more_matchers_is_called_as_well(case: Case, tmp_path: Path) -> None:
    """Recorded series lack the labels of the target, so matchers on these are for what is scraped."""
    site = Site(matchers=(f'job="{JOB}"', 'cluster="blue"'))
    recorded, alerting = (
        [rule for group in document["groups"] for rule in group["rules"]]
        for document in (forms.recording(groups(site)), forms.alerting(groups(site), site))
    )
    (rule,) = (one for one in alerting if one["alert"] == PREFIX + case.alert)
    fired = [{"exp_labels": labels(case.alert, case.labels), "exp_annotations": told(case)}]
    blue = {name.replace("{", '{cluster="blue", ', 1): values for name, values in case.fires.items()}
    story = test(case.step, blue, [(case.at, case.alert, fired)])

    assert passes(tmp_path, needed(rule, recorded), case.step, story)


def test_every_alert_has_its_story() -> None:
    """With one that fires and a near miss that differs from it."""
    assert sorted(PREFIX + case.alert for case in CASES) == sorted(RULES)
    assert [case.alert for case in CASES if case.fires | case.near == case.fires] == []
