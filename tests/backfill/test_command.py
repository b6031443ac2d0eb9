"""The command: dry run, output, recording rules and summary."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pytest

from insights_exporter.backfill.command import backfill
from insights_exporter.backfill.options import BackfillOptions, OutputFormat
from insights_exporter.backfill.recording_rules import load_rules, rule_levels
from insights_exporter.backfill.samples import SampleSteps
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.in_process_session import in_process_session

NOW = datetime(2026, 10, 2, 15, 20, tzinfo=UTC)
SETTINGS = Settings(coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today", "7d"), weeks=1))


async def run(folder: Path, **options: object) -> list[str]:
    """Run the command, and return the reported lines."""
    deployment: SimulatedDeployment = demo_deployment(Size(templates=2, users=5), now=lambda: NOW)
    lines: list[str] = []
    async with CoderClient(
        CODER_SETTINGS, clock=FakeClock(NOW), rng=Random(1), session=in_process_session(deployment)
    ) as client:
        await backfill(
            client,
            SETTINGS,
            BackfillOptions(
                first_day=date(2026, 9, 30),
                output=folder,
                **{"steps": SampleSteps(3600, 3600), **options},  # type: ignore[arg-type] # Keywords.
            ),
            clock=FakeClock(NOW),
            report=lines.append,
        )
    return lines


def numbers(line: str) -> list[int]:
    """Return the integers of a line."""
    return [int(text) for text in re.findall(r"\b\d+\b", line)]


@pytest.mark.parametrize("with_long_windows", [False, True])
async def test_the_dry_run_knows_requests_samples_and_series(
    with_long_windows: bool,  # noqa: FBT001 # A parameter.
    tmp_path: Path,
) -> None:
    (dry_run,) = await run(tmp_path / "out", dry_run=True, with_long_windows=with_long_windows)
    assert not (tmp_path / "out").exists()
    (summary,) = await run(tmp_path / "out", with_long_windows=with_long_windows)
    days, requests, _, samples, series, megabytes = numbers(dry_run)
    days_written, samples_written, series_written, megabytes_written, *_ = numbers(summary)

    assert days == days_written == 3
    assert requests == pytest.approx(numbers(summary)[-1], rel=0.05)
    assert samples == pytest.approx(samples_written, rel=0.35)
    assert series == pytest.approx(series_written, rel=0.35)
    assert megabytes == pytest.approx(megabytes_written, abs=2)


async def test_long_windows_add_their_parameters_and_latency(tmp_path: Path) -> None:
    await run(tmp_path / "short")
    await run(tmp_path / "long", with_long_windows=True)
    series = 'coder_insights_template_users_without_latency{.*window="7d"}'

    assert not re.search(series, (tmp_path / "short" / "2026-10-01.openmetrics").read_text())
    assert re.search(series, (tmp_path / "long" / "2026-10-01.openmetrics").read_text())


async def test_blocks_include_recorded_series_unless_they_are_not_wanted(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed.")
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: a, rules: [{record: b:users, expr: a:users + 1},"
        " {record: a:users, expr: max(coder_insights_deployment_unique_users)}]}]"
    )

    # promtool evaluates rules at a time within the interval that it derives from the group's name.
    options = {"format": OutputFormat.BLOCKS, "rules_file": rules, "steps": SampleSteps(300, 3600)}
    lines = await run(tmp_path / "out", **options)
    again = await run(tmp_path / "out", **options)
    without = await run(tmp_path / "without", **options | {"with_rules": False})

    assert lines[1] == again[1] == "2 recording rules were evaluated."
    assert lines[2] == again[2]
    assert len(without) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["blocks", "journal"]
    # Each of the two rules has a block of its own.
    assert len(list((tmp_path / "out" / "blocks").iterdir())) == 2 + len(
        list((tmp_path / "without" / "blocks").iterdir())
    )


async def test_without_prometheus_the_next_run_evaluates_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed.")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "promtool").symlink_to(promtool)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    lines = await run(tmp_path / "out", format=OutputFormat.BLOCKS)

    assert lines[1].startswith("Recording rules were not evaluated, because prometheus is not in PATH.")


def test_rules_follow_those_that_they_read() -> None:
    rules = load_rules(BackfillOptions(first_day=date(2026, 9, 1), output=Path("x")))
    levels = rule_levels(rules)
    recorded: set[str] = set()

    assert sum(map(len, levels)) == len(rules)
    for level in levels:
        names = {rule["record"] for rule in rules} - recorded
        for rule in level:
            assert not names & set(re.findall(r"[a-z0-9_:]+", rule["expr"]))
        recorded |= {rule["record"] for rule in level}


def test_rules_select_the_job_of_the_series() -> None:
    labels = {"job": "other", "instance": "a"}
    rules = load_rules(BackfillOptions(first_day=date(2026, 9, 1), output=Path("x"), labels=labels))

    assert sum('job="other"' in rule["expr"] for rule in rules) > 20
    assert not any('job="coder-insights"' in rule["expr"] for rule in rules)


def test_rules_that_read_each_other_are_evaluated_at_once() -> None:
    rules = [{"record": "a", "expr": "b"}, {"record": "b", "expr": "a"}, {"record": "c", "expr": "up"}]

    assert rule_levels(rules) == [[rules[2]], rules[:2]]
