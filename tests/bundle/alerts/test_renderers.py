"""All output formats contain the same alerts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.renderers import GRAFANA_GUARD, QUERY_REF_ID, alert_files
from insights_exporter.bundle.alerts.rules import rule_groups
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.registry import DASHBOARDS, FOLDER_TITLE
from tests.bundle.alerts.promtool import promtool_accepts, promtool_test_passes
from tests.bundle.alerts.rule_files import ALERTS_FOLDER, alerting_rules, grafana_rules, recording_rules

PROMETHEUS_RULES = {rule["alert"]: rule for rule in alerting_rules()}
GRAFANA_ONLY_ANNOTATIONS = {"__dashboardUid__", "__panelId__"}


def manifest() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(
        (ALERTS_FOLDER / "kubernetes" / "prometheusrule.yaml").read_text()
    )
    return document


def unguarded(text: str) -> str:
    before, after = GRAFANA_GUARD
    return text.removeprefix(before).removesuffix(after) if text.startswith(before) else text


def test_the_manifest_holds_the_same_rules() -> None:
    rules = [rule for group in manifest()["spec"]["groups"] for rule in group["rules"]]

    assert [*recording_rules(), *alerting_rules()] == rules


def test_the_manifest_is_a_prometheus_rule() -> None:
    document = manifest()

    assert (document["apiVersion"], document["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert document["metadata"]["name"] == "coder-insights"
    assert len({group["name"] for group in document["spec"]["groups"]}) == len(document["spec"]["groups"])


def test_grafana_has_the_same_alerts() -> None:
    def shared_annotations(rule: dict[str, Any]) -> dict[str, str]:
        shared = {
            key: text for key, text in rule["annotations"].items() if key not in GRAFANA_ONLY_ANNOTATIONS
        }
        return {key: unguarded(text) for key, text in shared.items()}

    rules = {
        rule["title"]: {
            "alert": rule["title"],
            "expr": rule["data"][0]["model"]["expr"],
            "for": rule["for"],
            "labels": rule["labels"],
            "annotations": shared_annotations(rule),
        }
        for rule in grafana_rules()
    }

    assert rules == PROMETHEUS_RULES


def test_groups_and_intervals_are_the_same() -> None:
    def interval_by_group(path: str) -> dict[str, str]:
        groups_ = yaml.safe_load((ALERTS_FOLDER / path).read_text())["groups"]
        return {group["name"]: group["interval"] for group in groups_}

    assert interval_by_group("grafana/coder-insights.yaml") == interval_by_group(
        "prometheus/alerting-rules.yml"
    )


@pytest.mark.parametrize("rule", grafana_rules(), ids=lambda rule: str(rule["title"]))
def test_grafana_knows_every_field(rule: dict[str, Any]) -> None:
    """Grafana's own model keeps all fields of a rule."""
    group_fields = {"orgID": 1, "folderUID": "coder-insights", "ruleGroup": "coder-insights"}
    round_tripped = json.loads(json.dumps(alerting.Rule.from_json(rule | group_fields), cls=JSONEncoder))

    assert round_tripped == rule | group_fields


@pytest.mark.parametrize("rule", grafana_rules(), ids=lambda rule: str(rule["title"]))
def test_grafana_fires_for_every_series_that_the_query_returns(rule: dict[str, Any]) -> None:
    """A value of 0 fires, too; a comparison of the value itself with 0 would miss it."""
    models_by_ref = {query["refId"]: query["model"] for query in rule["data"]}

    assert rule["condition"] == "firing"
    assert models_by_ref["firing"]["expression"] == "present"
    assert f"is_number(${QUERY_REF_ID})" in models_by_ref["present"]["expression"]
    assert models_by_ref[QUERY_REF_ID]["instant"] is True
    assert rule["noDataState"] == "OK"


def test_grafana_annotations_are_guarded() -> None:
    """A template outside the guard renders ``<no value>`` while the query returns no series."""
    before, after = GRAFANA_GUARD
    templates = [text for rule in grafana_rules() for text in rule["annotations"].values() if "{{" in text]

    assert len(templates) >= 2 * len(grafana_rules()) - 1
    for text in templates:
        assert text.startswith(before), text
        assert text.endswith(after), text
        assert text.count("{{ end }}") == 1, text
        assert "$values" not in text.removeprefix(before), text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
def test_grafana_annotations_parse_and_are_empty_without_a_result(tmp_path: Path) -> None:
    """Promtool has Go's template engine and Prometheus' functions, which Grafana has as well.

    Prometheus knows no ``$values``. An absent label stands for the absent result of the query.
    """
    rules = [
        {
            "alert": rule["title"],
            "expr": "vector(1)",
            "annotations": {
                key: text.replace(f"$values.{QUERY_REF_ID}", "$labels.absent")
                for key, text in rule["annotations"].items()
                if "{{" in text
            },
        }
        for rule in grafana_rules()
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "grafana", "rules": rules}]}))
    checks = [
        {
            "eval_time": "1m",
            "alertname": rule["alert"],
            "exp_alerts": [{"exp_annotations": dict.fromkeys(rule["annotations"], "")}],
        }
        for rule in rules
    ]
    document = {"rule_files": ["rules.yml"], "tests": [{"interval": "1m", "alert_rule_test": checks}]}

    assert len(rules) == len(alerting_rules())
    assert promtool_accepts("check", "rules", str(tmp_path / "rules.yml"))
    assert promtool_test_passes(tmp_path, document)


def test_grafana_alerts_have_a_folder_of_their_own() -> None:
    """Grafana creates the folder of alerts by title with a random uid, before it provisions dashboards."""
    groups = yaml.safe_load((ALERTS_FOLDER / "grafana" / "coder-insights.yaml").read_text())["groups"]

    assert {group["folder"] for group in groups} == {f"{FOLDER_TITLE} Alerts"}


def test_grafana_uids_are_short_and_unique() -> None:
    uids = [rule["uid"] for rule in grafana_rules()]

    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) <= 40


def test_grafana_panel_annotations_match_the_dashboard_url() -> None:
    dashboard_uids = {info.uid for info in DASHBOARDS}
    for rule in grafana_rules():
        rule_annotations = rule["annotations"]
        assert rule_annotations["__dashboardUid__"] in dashboard_uids
        assert f"/d/{rule_annotations['__dashboardUid__']}/" in rule_annotations["dashboard_url"]
        assert f"viewPanel={rule_annotations['__panelId__']}&" in rule_annotations["dashboard_url"]


def test_a_file_names_its_generator_first() -> None:
    for path, text in alert_files(InstallOptions()).items():
        first_line = text.splitlines()[0]
        assert "Written by `insights-exporter bundle`" in first_line, path


def test_alerts_declare_exactly_the_thresholds_that_they_use() -> None:
    """A runbook lists exactly the thresholds on which the rule depends."""

    def texts_by_alert(thresholds: Thresholds) -> dict[str, tuple[str, str]]:
        all_groups = rule_groups(InstallOptions(thresholds=thresholds))
        expr_by_recording = {
            (recording.name, *recording.const_labels.values()): recording.expr
            for group in all_groups
            for recording in group.recordings
        }
        return {
            alert.name: (
                alert.expr + alert.description,
                "".join(_dependency_exprs(alert.expr, expr_by_recording)),
            )
            for group in all_groups
            for alert in group.alerts
        }

    default_texts = texts_by_alert(Thresholds())
    declared_thresholds = {
        alert.name: set(alert.thresholds) for group in rule_groups(InstallOptions()) for alert in group.alerts
    }
    affecting_thresholds: dict[str, set[str]] = {name: set() for name in declared_thresholds}
    for name in Thresholds.__dataclass_fields__:
        modified = replace(Thresholds(), **{name: _modified_value(name)})
        for alert, rule in texts_by_alert(modified).items():
            if rule != default_texts[alert]:
                affecting_thresholds[alert].add(name)

    assert affecting_thresholds == declared_thresholds


def _dependency_exprs(expr: str, expr_by_recording: Mapping[tuple[str, ...], str]) -> list[str]:
    """Return the expressions of all recorded series that one reads, and of those that these read."""
    pending, expr_by_key = [expr], dict[tuple[str, ...], str]()
    while pending:
        current = pending.pop()
        for (name, *step), dependency in expr_by_recording.items():
            if (name, *step) not in expr_by_key and _references(current, name, step):
                expr_by_key[name, *step] = dependency
                pending.append(dependency)
    return sorted(expr_by_key.values())


def _references(expr: str, name: str, step: list[str]) -> bool:
    return name + "{" in expr and (not step or f'step="{step[0]}"' in expr)


def _modified_value(name: str) -> float:
    value: float = getattr(Thresholds(), name)
    bucket_bounds = {"latency_warning": 0.2, "latency_critical": 0.5, "objective_latency": 0.5}
    return (bucket_bounds | {"idle_seconds": 86400}).get(name, value * 0.9)
