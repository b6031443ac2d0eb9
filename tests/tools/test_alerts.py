"""A site writes the rules with its own choices."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools.alerts import main


def test_command_line_options_reach_the_files(tmp_path: Path) -> None:
    rule_arguments = [
        "--matcher",
        'job="coder"',
        "--threshold",
        "seats_share=0.8",
        "--label",
        "team=platform",
    ]
    url_arguments = ["--grafana-url", "https://grafana.corp", "--runbook-url", "https://git.corp/runbooks"]
    target_arguments = ["--datasource", "mimir", "--namespace", "observability"]

    assert main([str(tmp_path), *rule_arguments, *url_arguments, *target_arguments]) == 0
    rules = yaml.safe_load((tmp_path / "prometheus" / "alerting-rules.yml").read_text())
    rules_by_alert = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    seats = rules_by_alert["CoderInsightsSeatsAlmostUsed"]

    assert seats["expr"] == 'deployment:coder_insights_users:seats_ratio{job="coder"} > 0.8'
    assert seats["labels"] == {"severity": "warning", "team": "platform"}
    assert seats["annotations"]["runbook_url"].startswith("https://git.corp/runbooks/")
    assert seats["annotations"]["dashboard_url"].startswith("https://grafana.corp/d/")
    assert "datasourceUid: mimir" in (tmp_path / "grafana" / "coder-insights.yaml").read_text()
    assert "namespace: observability" in (tmp_path / "kubernetes" / "prometheusrule.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected_message"),
    [
        (["--threshold", "seats_share"], "Expected NAME=VALUE, found 'seats_share'."),
        (["--threshold", "seats_share=much"], "Expected a number for seats_share, found 'much'."),
        (["--threshold", "patience=3"], "Expected names of thresholds, found patience."),
    ],
)
def test_invalid_options_are_rejected(
    arguments: list[str], expected_message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main([str(tmp_path), *arguments])

    assert raised.value.code == 2
    assert expected_message in capsys.readouterr().err


def test_check_lists_stale_and_orphaned_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path)])
    capsys.readouterr()
    (tmp_path / "alertmanager.yml").write_text("route: {}\n")
    (tmp_path / "runbooks" / "Gone.md").write_text("# Gone\n")

    assert main([str(tmp_path), "--check"]) == 1
    output = capsys.readouterr().out

    assert f"stale: {tmp_path / 'alertmanager.yml'}\n" in output
    assert f"left over: {tmp_path / 'runbooks' / 'Gone.md'}\n" in output
