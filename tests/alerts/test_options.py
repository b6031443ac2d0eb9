"""A site writes the rules with its own choices."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from insights_exporter.bundle.alerts.__main__ import main


def test_choices_of_the_command_line_reach_the_files(tmp_path: Path) -> None:
    choices = ["--matcher", 'job="coder"', "--threshold", "seats_share=0.8", "--label", "team=platform"]
    links = ["--grafana-url", "https://grafana.corp", "--runbook-url", "https://git.corp/runbooks"]
    places = ["--datasource", "mimir", "--namespace", "observability"]

    assert main([str(tmp_path), *choices, *links, *places]) == 0
    rules = yaml.safe_load((tmp_path / "prometheus" / "alerting-rules.yml").read_text())
    found = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    seats = found["CoderInsightsSeatsAlmostUsed"]

    assert seats["expr"] == 'deployment:coder_insights_users:seats_ratio{job="coder"} > 0.8'
    assert seats["labels"] == {"severity": "warning", "team": "platform"}
    assert seats["annotations"]["runbook_url"].startswith("https://git.corp/runbooks/")
    assert seats["annotations"]["dashboard_url"].startswith("https://grafana.corp/d/")
    assert "datasourceUid: mimir" in (tmp_path / "grafana" / "coder-insights.yaml").read_text()
    assert "namespace: observability" in (tmp_path / "kubernetes" / "prometheusrule.yaml").read_text()


@pytest.mark.parametrize(
    ("choice", "fault"),
    [
        (["--threshold", "seats_share"], "Expected NAME=VALUE, found 'seats_share'."),
        (["--threshold", "seats_share=much"], "Expected a number for seats_share, found 'much'."),
        (["--threshold", "patience=3"], "Expected names of thresholds, found patience."),
    ],
)
def test_a_choice_that_means_nothing_is_refused(
    choice: list[str], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path), *choice])

    assert stopped.value.code == 2
    assert fault in capsys.readouterr().err


def test_a_check_names_what_differs_and_what_is_left_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path)])
    capsys.readouterr()
    (tmp_path / "alertmanager.yml").write_text("route: {}\n")
    (tmp_path / "runbooks" / "Gone.md").write_text("# Gone\n")

    assert main([str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().out

    assert f"stale: {tmp_path / 'alertmanager.yml'}\n" in told
    assert f"left over: {tmp_path / 'runbooks' / 'Gone.md'}\n" in told
