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

from insights_exporter.bundle.alerts import Site, Thresholds, groups
from insights_exporter.bundle.alerts.forms import QUERY, SHADOW
from insights_exporter.bundle.alerts.writing import files
from insights_exporter.bundle.boards import BOARDS
from insights_exporter.errors import ConfigError
from tests.alerts.tree import ALERTS, alerts, grafana_rules, recordings

PROMETHEUS = {rule["alert"]: rule for rule in alerts()}
GRAFANA_ONLY = {"__dashboardUid__", "__panelId__"}


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ALERTS / "kubernetes" / "prometheusrule.yaml").read_text())
    return found


def test_the_manifest_holds_the_same_rules() -> None:
    found = [rule for group in manifest()["spec"]["groups"] for rule in group["rules"]]

    assert [*recordings(), *alerts()] == found


def test_the_manifest_is_one_of_the_operator() -> None:
    found = manifest()

    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert found["metadata"]["name"] == "coder-insights"
    assert len({group["name"] for group in found["spec"]["groups"]}) == len(found["spec"]["groups"])


def test_grafana_has_the_same_alerts() -> None:
    def told(rule: dict[str, Any]) -> dict[str, str]:
        kept = {key: text for key, text in rule["annotations"].items() if key not in GRAFANA_ONLY}
        return {key: text.removeprefix(SHADOW) for key, text in kept.items()}

    found = {
        rule["title"]: {
            "alert": rule["title"],
            "expr": rule["data"][0]["model"]["expr"],
            "for": rule["for"],
            "labels": rule["labels"],
            "annotations": told(rule),
        }
        for rule in grafana_rules()
    }

    assert found == PROMETHEUS


def test_groups_and_intervals_are_the_same() -> None:
    def shape(path: str) -> dict[str, str]:
        found = yaml.safe_load((ALERTS / path).read_text())["groups"]
        return {group["name"]: group["interval"] for group in found}

    assert shape("grafana/coder-insights.yaml") == shape("prometheus/alerting-rules.yml")


@pytest.mark.parametrize("rule", grafana_rules(), ids=lambda rule: str(rule["title"]))
def test_grafana_knows_every_field(rule: dict[str, Any]) -> None:
    """What its model drops, or writes otherwise, Grafana would not understand."""
    surrounding = {"orgID": 1, "folderUID": "coder-insights", "ruleGroup": "coder-insights"}
    known = json.loads(json.dumps(alerting.Rule.from_json(rule | surrounding), cls=JSONEncoder))

    assert known == rule | surrounding


@pytest.mark.parametrize("rule", grafana_rules(), ids=lambda rule: str(rule["title"]))
def test_grafana_fires_for_every_series_that_the_query_returns(rule: dict[str, Any]) -> None:
    """Also for a value of 0, which its own comparison with 0 would hold for calm."""
    by_ref = {one["refId"]: one["model"] for one in rule["data"]}

    assert rule["condition"] == "firing"
    assert by_ref["firing"]["expression"] == "present"
    assert f"is_number(${QUERY})" in by_ref["present"]["expression"]
    assert by_ref[QUERY]["instant"] is True
    assert rule["noDataState"] == "OK"


def test_grafana_uids_are_short_and_its_own() -> None:
    uids = [rule["uid"] for rule in grafana_rules()]

    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) <= 40


def test_grafana_links_to_the_panel_as_it_does_itself() -> None:
    known = {board.uid for board in BOARDS}
    for rule in grafana_rules():
        told = rule["annotations"]
        assert told["__dashboardUid__"] in known
        assert f"/d/{told['__dashboardUid__']}/" in told["dashboard_url"]
        assert f"viewPanel={told['__panelId__']}&" in told["dashboard_url"]


def test_a_file_names_its_generator_first() -> None:
    for path, text in files(Site()).items():
        first = text.splitlines()[0]
        assert "Written by `python -m insights_exporter.bundle.alerts`" in first, path


def test_a_site_changes_matchers_labels_links_and_places() -> None:
    site = Site(
        matchers=('job="coder"', 'cluster="blue"'),
        labels={"team": "platform"},
        grafana_url="https://grafana.corp",
        runbook_url="https://git.corp/runbooks/",
        datasource="mimir",
        namespace="observability",
    )
    written = files(site)
    rules = yaml.safe_load(written["prometheus/alerting-rules.yml"])["groups"]
    rule = rules[0]["rules"][0]

    assert 'up{job="coder", cluster="blue"}' in rule["expr"]
    assert rule["labels"] == {"severity": "critical", "team": "platform"}
    assert rule["annotations"]["runbook_url"] == "https://git.corp/runbooks/CoderInsightsExporterDown.md"
    assert rule["annotations"]["dashboard_url"].startswith("https://grafana.corp/d/")
    assert (
        yaml.safe_load(written["kubernetes/prometheusrule.yaml"])["metadata"]["namespace"] == "observability"
    )
    assert "datasourceUid: mimir" in written["grafana/coder-insights.yaml"]
    assert 'up{job="coder", cluster="blue"}' in written["runbooks/CoderInsightsExporterDown.md"]
    assert 'job="coder-insights"' not in "".join(written.values())


def test_a_site_changes_thresholds_everywhere() -> None:
    site = Site(thresholds=Thresholds().changed({"seats_share": 0.8}))
    written = files(site)

    assert 'seats_ratio{job="coder-insights"} > 0.8' in written["prometheus/alerting-rules.yml"]
    assert 'seats_ratio{job="coder-insights"} > 0.8' in written["grafana/coder-insights.yaml"]
    assert "| `seats_share` | 80 % |" in written["runbooks/CoderInsightsSeatsAlmostUsed.md"]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("latency_warning", 0.16, "one of 0.005, 0.01"),
        ("slow_users_share", 1.5, "no share above 1"),
        ("slow_users", 0, "above 0"),
        ("objective", 1, "below 1"),
        ("patience", 3, "names of thresholds, found patience"),
    ],
)
def test_a_threshold_that_no_rule_could_use_is_refused(name: str, value: float, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Thresholds().changed({name: value})


def test_a_threshold_says_which_alerts_it_moves() -> None:
    """What a runbook lists is what the rule depends on, no more and no less."""

    def rules(thresholds: Thresholds) -> dict[str, tuple[str, str]]:
        made = groups(Site(thresholds=thresholds))
        recorded = {
            (one.name, *one.constants.values()): one.expr for group in made for one in group.recordings
        }
        return {
            alert.name: (alert.expr + alert.description, "".join(_behind(alert.expr, recorded)))
            for group in made
            for alert in group.alerts
        }

    usual = rules(Thresholds())
    declared = {alert.name: set(alert.limits) for group in groups(Site()) for alert in group.alerts}
    moved: dict[str, set[str]] = {name: set() for name in declared}
    for name in Thresholds.__dataclass_fields__:
        changed = replace(Thresholds(), **{name: _other(name)})
        for alert, rule in rules(changed).items():
            if rule != usual[alert]:
                moved[alert].add(name)

    assert moved == declared


def _behind(expr: str, recorded: Mapping[tuple[str, ...], str]) -> list[str]:
    """Return the expressions of all recorded series that one reads, and of those that these read."""
    unread, read = [expr], dict[tuple[str, ...], str]()
    while unread:
        one = unread.pop()
        for (name, *step), behind in recorded.items():
            if (name, *step) not in read and _reads(one, name, step):
                read[name, *step] = behind
                unread.append(behind)
    return sorted(read.values())


def _reads(expr: str, name: str, step: list[str]) -> bool:
    return name + "{" in expr and (not step or f'step="{step[0]}"' in expr)


def _other(name: str) -> float:
    value: float = getattr(Thresholds(), name)
    return {"latency_warning": 0.2, "latency_critical": 0.5, "objective_latency": 0.5}.get(name, value * 0.9)
