"""Options of an installation change the alert files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.renderers import alert_files
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.cli import main
from insights_exporter.errors import ConfigError


def test_options_change_matchers_labels_links_and_namespace() -> None:
    options = InstallOptions(
        matchers=('job="coder"', 'cluster="blue"'),
        labels={"team": "platform"},
        grafana_url="https://grafana.corp",
        runbook_url="https://git.corp/runbooks/",
        datasource="mimir",
        namespace="observability",
        folder="Coder staging Alerts",
        prefix="staging",
    )
    rendered = alert_files(options)
    rules = yaml.safe_load(rendered["prometheus/alerting-rules.yml"])["groups"]
    rule = rules[0]["rules"][0]
    grafana_groups = yaml.safe_load(rendered["grafana/coder-insights.yaml"])["groups"]

    assert 'up{job="coder", cluster="blue"}' in rule["expr"]
    assert rule["labels"] == {"severity": "critical", "team": "platform"}
    assert rule["annotations"]["runbook_url"] == "https://git.corp/runbooks/CoderInsightsExporterDown.md"
    assert rule["annotations"]["dashboard_url"].startswith("https://grafana.corp/d/")
    assert (
        yaml.safe_load(rendered["kubernetes/prometheusrule.yaml"])["metadata"]["namespace"] == "observability"
    )
    assert "datasourceUid: mimir" in rendered["grafana/coder-insights.yaml"]
    assert {group["folder"] for group in grafana_groups} == {"Coder staging Alerts"}
    assert all(rule["uid"].startswith("staging-") for group in grafana_groups for rule in group["rules"])
    assert 'up{job="coder", cluster="blue"}' in rendered["runbooks/CoderInsightsExporterDown.md"]
    assert 'job="coder-insights"' not in "".join(rendered.values())


def test_thresholds_change_every_format() -> None:
    options = InstallOptions(thresholds=Thresholds().replaced({"seats_share": 0.8}))
    rendered = alert_files(options)

    assert 'seats_ratio{job="coder-insights"} > 0.8' in rendered["prometheus/alerting-rules.yml"]
    assert 'seats_ratio{job="coder-insights"} > 0.8' in rendered["grafana/coder-insights.yaml"]
    assert "| `seats_share` | 80% |" in rendered["runbooks/CoderInsightsSeatsAlmostUsed.md"]


def test_command_line_options_reach_the_files(tmp_path: Path) -> None:
    arguments = ["--matcher", 'job="coder"', "--threshold", "seats_share=0.8", "--label", "team=platform"]
    arguments += ["--grafana-url", "https://grafana.corp", "--runbook-url", "https://git.corp/runbooks"]
    arguments += ["--datasource", "mimir", "--namespace", "observability", "--folder", "Coder staging"]
    arguments += ["--prefix", "staging", "--cluster-label", "cluster"]

    assert main(["bundle", "--output", str(tmp_path), *arguments]) == 0
    folder = tmp_path / "alerts"
    rules = yaml.safe_load((folder / "prometheus" / "alerting-rules.yml").read_text())
    rules_by_alert = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    seats = rules_by_alert["CoderInsightsSeatsAlmostUsed"]
    grafana_text = (folder / "grafana" / "coder-insights.yaml").read_text()

    assert seats["expr"] == 'deployment:coder_insights_users:seats_ratio{job="coder"} > 0.8'
    assert seats["labels"] == {"severity": "warning", "team": "platform"}
    assert seats["annotations"]["runbook_url"].startswith("https://git.corp/runbooks/")
    assert seats["annotations"]["dashboard_url"].startswith("https://grafana.corp/d/staging-")
    assert seats["annotations"]["dashboard_url"].endswith("&var-cluster={{ $labels.cluster | urlquery }}")
    assert "datasourceUid: mimir" in grafana_text
    assert "folder: Coder staging Alerts" in grafana_text
    assert "namespace: observability" in (folder / "kubernetes" / "prometheusrule.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected_message"),
    [
        (["--threshold", "seats_share"], "--threshold: expected NAME=VALUE, got 'seats_share'"),
        (["--label", "team"], "--label: expected NAME=VALUE, got 'team'"),
        (["--threshold", "seats_share=much"], "--threshold seats_share: expected a number, got 'much'"),
        (["--threshold", "patience=3"], "--threshold: expected a name from docs/alerts.md, got patience"),
    ],
)
def test_invalid_options_are_rejected(
    arguments: list[str], expected_message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "--output", str(tmp_path), *arguments]) == 2
    assert expected_message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "expected_message"),
    [
        ("latency_warning", 0.16, r"expected one of 0\.005, 0\.01, .*, got 0\.16"),
        ("idle_seconds", 100, "expected one of 3600, 28800, 86400, 259200, 604800, 2592000, got 100"),
        ("slow_users_share", 1.5, "expected a share of at most 1, got 1.5"),
        ("slow_users", 0, "expected a number above 0, got 0"),
        ("objective", 1, "expected a share below 1, got 1"),
        ("patience", 3, "expected a name from docs/alerts.md, got patience"),
    ],
)
def test_invalid_thresholds_are_rejected(name: str, value: float, expected_message: str) -> None:
    with pytest.raises(ConfigError, match=expected_message):
        Thresholds().replaced({name: value})
