"""One source, three forms: what one kind of site installs is what the others install."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting

from insights_exporter.bundle.alerts import InstallOptions, Thresholds, rule_groups
from insights_exporter.bundle.alerts.renderers import QUERY_REF_ID, VALUE_DECLARATION
from insights_exporter.bundle.alerts.writing import alert_files
from insights_exporter.bundle.registry import DASHBOARDS
from insights_exporter.errors import ConfigError
from tests.bundle.alerts.rule_files import ALERTS_FOLDER, alerting_rules, grafana_rules, recording_rules

PROMETHEUS_RULES = {rule["alert"]: rule for rule in alerting_rules()}
GRAFANA_ONLY_ANNOTATIONS = {"__dashboardUid__", "__panelId__"}


def manifest() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(
        (ALERTS_FOLDER / "kubernetes" / "prometheusrule.yaml").read_text()
    )
    return document


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
        return {key: text.removeprefix(VALUE_DECLARATION) for key, text in shared.items()}

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
    """What its model drops, or writes otherwise, Grafana would not understand."""
    group_fields = {"orgID": 1, "folderUID": "coder-insights", "ruleGroup": "coder-insights"}
    round_tripped = json.loads(json.dumps(alerting.Rule.from_json(rule | group_fields), cls=JSONEncoder))

    assert round_tripped == rule | group_fields


@pytest.mark.parametrize("rule", grafana_rules(), ids=lambda rule: str(rule["title"]))
def test_grafana_fires_for_every_series_that_the_query_returns(rule: dict[str, Any]) -> None:
    """Also for a value of 0, which its own comparison with 0 would hold for calm."""
    models_by_ref = {query["refId"]: query["model"] for query in rule["data"]}

    assert rule["condition"] == "firing"
    assert models_by_ref["firing"]["expression"] == "present"
    assert f"is_number(${QUERY_REF_ID})" in models_by_ref["present"]["expression"]
    assert models_by_ref[QUERY_REF_ID]["instant"] is True
    assert rule["noDataState"] == "OK"


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
        assert "Written by `python -m tools.alerts`" in first_line, path


def test_install_options_change_matchers_labels_links_and_namespace() -> None:
    options = InstallOptions(
        matchers=('job="coder"', 'cluster="blue"'),
        labels={"team": "platform"},
        grafana_url="https://grafana.corp",
        runbook_url="https://git.corp/runbooks/",
        datasource="mimir",
        namespace="observability",
    )
    rendered = alert_files(options)
    rules = yaml.safe_load(rendered["prometheus/alerting-rules.yml"])["groups"]
    rule = rules[0]["rules"][0]

    assert 'up{job="coder", cluster="blue"}' in rule["expr"]
    assert rule["labels"] == {"severity": "critical", "team": "platform"}
    assert rule["annotations"]["runbook_url"] == "https://git.corp/runbooks/CoderInsightsExporterDown.md"
    assert rule["annotations"]["dashboard_url"].startswith("https://grafana.corp/d/")
    assert (
        yaml.safe_load(rendered["kubernetes/prometheusrule.yaml"])["metadata"]["namespace"] == "observability"
    )
    assert "datasourceUid: mimir" in rendered["grafana/coder-insights.yaml"]
    assert 'up{job="coder", cluster="blue"}' in rendered["runbooks/CoderInsightsExporterDown.md"]
    assert 'job="coder-insights"' not in "".join(rendered.values())


def test_thresholds_change_every_format() -> None:
    options = InstallOptions(thresholds=Thresholds().replaced({"seats_share": 0.8}))
    rendered = alert_files(options)

    assert 'seats_ratio{job="coder-insights"} > 0.8' in rendered["prometheus/alerting-rules.yml"]
    assert 'seats_ratio{job="coder-insights"} > 0.8' in rendered["grafana/coder-insights.yaml"]
    assert "| `seats_share` | 80 % |" in rendered["runbooks/CoderInsightsSeatsAlmostUsed.md"]


@pytest.mark.parametrize(
    ("name", "value", "expected_message"),
    [
        ("latency_warning", 0.16, "one of 0.005, 0.01"),
        ("slow_users_share", 1.5, "no share above 1"),
        ("slow_users", 0, "above 0"),
        ("objective", 1, "below 1"),
        ("patience", 3, "names of thresholds, found patience"),
    ],
)
def test_invalid_thresholds_are_rejected(name: str, value: float, expected_message: str) -> None:
    with pytest.raises(ConfigError, match=expected_message):
        Thresholds().replaced({name: value})


def test_alerts_declare_exactly_the_thresholds_that_they_use() -> None:
    """What a runbook lists is what the rule depends on, no more and no less."""

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
    return {"latency_warning": 0.2, "latency_critical": 0.5, "objective_latency": 0.5}.get(name, value * 0.9)
