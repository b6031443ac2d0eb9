"""Backfilled blocks in a real Prometheus, and the seam with live scrapes."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dashboards.generator.queries import usage
from insights_exporter.backfill.blocks import BlockFolder, find_promtool
from insights_exporter.backfill.boundaries import WRITTEN_FAMILIES
from insights_exporter.backfill.journal import Journal
from insights_exporter.backfill.options import BackfillOptions
from insights_exporter.backfill.recording_rules import RuleEvaluation, find_prometheus, load_rules
from insights_exporter.backfill.run import Summary
from insights_exporter.backfill.samples import SampleSteps
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import MetricType
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.backfill import backfill_in_process
from tests.support.clock import FakeClock
from tests.support.history import create_blocks
from tests.support.history_recorder import to_timestamped_samples
from tests.support.in_process_exporter import CODER_SETTINGS, in_process_exporter
from tests.support.prometheus import Prometheus

DAY = timedelta(days=1)
FIRST_DAY = date(2026, 10, 6)
START = datetime(2026, 10, 6, tzinfo=UTC)
END = datetime(2026, 10, 8, 12, tzinfo=UTC)
NOW = datetime(2026, 10, 8, 15, 20, 20, tzinfo=UTC)
LIVE_HOURS = 13
SETTINGS = Settings(
    coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today", "yesterday", "7d"), weeks=1)
)
JOB, INSTANCE = "coder-insights", "localhost:9766"


@dataclass(frozen=True)
class Past:
    """A Prometheus with a backfill and, after it, live scrapes."""

    prometheus: Prometheus
    deployment: SimulatedDeployment
    summary: Summary

    def seconds_by_template(self, start: datetime, end: datetime) -> dict[tuple[str, str], float]:
        """Return the seconds of the simulator's events in each template; both ends are midnights."""
        world, minutes = self.deployment.world, Counter[tuple[str, str]]()
        while start < end:
            for user_day in world.usage_on(start.date()):
                template = world.templates[user_day.template]
                minutes[template.organization.name, template.name] += user_day.active_mask.bit_count()
            start += DAY
        return {key: 60.0 * count for key, count in minutes.items()}

    def by_template(self, query: str, time: datetime) -> dict[tuple[str, str], float]:
        """Return the values of a query by template, without those of 0."""
        series = self.prometheus.query(query, time)
        values = {
            (labels["organization_name"], labels["template_name"]): points[0][1] for labels, points in series
        }
        return {key: value for key, value in values.items() if value}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed.")
    folder = tmp_path_factory.mktemp("past")
    deployment = demo_deployment(Size(templates=2, users=6))
    summary = asyncio.run(_write_past(deployment, folder))
    data = folder / "data"
    shutil.copytree(folder / "blocks", data)
    create_blocks(folder / "live.openmetrics", data)
    with Prometheus.run(data) as prometheus:
        yield Past(prometheus, deployment, summary)


async def _write_past(deployment: SimulatedDeployment, folder: Path) -> Summary:
    output = BlockFolder(folder, promtool=find_promtool())
    summary, _ = await backfill_in_process(
        deployment,
        FakeClock(NOW),
        folder,
        first_day=FIRST_DAY,
        settings=SETTINGS,
        to=output,
        steps=SampleSteps(300, 3600),
    )
    evaluation = RuleEvaluation(
        output, Journal(folder), prometheus=find_prometheus() or "prometheus", step=300
    )
    rules = [
        rule
        for rule in load_rules(BackfillOptions(first_day=FIRST_DAY, output=folder))
        if "active_users" in rule["record"] or "increase" in rule["record"]
    ]
    await evaluation.run(rules, START, END)
    clock = FakeClock(NOW)
    with (folder / "live.openmetrics").open("wb") as file:
        async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
            for _ in range(LIVE_HOURS):
                await exporter.poll()
                body = exporter.exposition_body()
                file.write(to_timestamped_samples(body, clock.now(), job=JOB, instance=INSTANCE))
                clock.advance(3600)
        file.write(b"# EOF\n")
    return summary


def test_increases_of_each_day_equal_the_events(past: Past) -> None:
    for day in range(2):
        start = START + day * DAY
        increases = past.by_template("increase(coder_insights_template_usage_seconds_total[1d])", start + DAY)

        assert increases == pytest.approx(past.seconds_by_template(start, start + DAY), rel=1e-3)


def test_counters_continue_into_the_live_series_without_a_reset(past: Past) -> None:
    end = NOW + timedelta(hours=LIVE_HOURS - 1)
    resets = {
        family.name: past.prometheus.query(f"max(resets({family.name}[5d]))", end)[0][1][0][1]
        for family in WRITTEN_FAMILIES
        if family.type is MetricType.COUNTER
    }
    live = past.by_template("coder_insights_template_usage_seconds_total", end)
    before = past.by_template("coder_insights_template_usage_seconds_total", START)
    rise = {key: live[key] - before.get(key, 0.0) for key in live}
    # The last scrape, at 03:20, also has the events of the new day.
    minimum = past.seconds_by_template(START, START + 3 * DAY)
    maximum = past.seconds_by_template(START, START + 4 * DAY)

    assert resets == {
        "coder_insights_template_app_usage_seconds_total": 0.0,
        "coder_insights_deployment_app_usage_seconds_total": 0.0,
        "coder_insights_user_activity_seconds_total": 0.0,
        "coder_insights_template_usage_seconds_total": 0.0,
    }
    assert all(minimum[key] <= rise[key] <= maximum[key] for key in minimum)


def test_active_users_of_each_day_equal_the_events(past: Past) -> None:
    world = past.deployment.world
    for day in range(2):
        start = START + day * DAY
        users = {user_day.user for user_day in world.usage_on(start.date())}
        ((_, points),) = past.prometheus.query(
            'coder_insights_deployment_active_users{interval="day", ago="0"}', start + DAY
        )

        assert points[0][1] == len(users)


def test_daily_bars_have_the_date_of_their_data(past: Past) -> None:
    users = usage.active_users_by_ago(catalogue.DEPLOYMENT_ACTIVE_USERS, usage.DAY_BUCKETS, {})
    starts = re.sub(r"\$\w+", ".+", usage.bucket_start_times(users, usage.DAY_BUCKETS).text)
    midnight = START + 2 * DAY

    dates = {
        time: {
            labels["ago"]: datetime.fromtimestamp(points[0][1] / 1000, UTC)
            for labels, points in past.prometheus.query(starts, time)
        }
        for time in (midnight, midnight + timedelta(minutes=5))
    }

    # At midnight, the data is still that of the day before.
    assert (dates[midnight]["0"], dates[midnight]["6"]) == (midnight - DAY, midnight - 7 * DAY)
    assert dates[midnight + timedelta(minutes=5)]["0"] == midnight


def test_plain_selectors_have_no_gaps(past: Past) -> None:
    ((_, points),) = past.prometheus.query_range(
        'coder_insights_deployment_unique_users{window="7d"}', START + DAY, END, 77
    )

    assert len(points) == (END - START - DAY) // timedelta(seconds=77) + 1


def test_rates_within_a_day_are_even(past: Past) -> None:
    noon = START + 1.5 * DAY
    rates = past.by_template("rate(coder_insights_template_usage_seconds_total[1h])", noon)
    events = past.seconds_by_template(START + DAY, START + 2 * DAY)

    assert rates == pytest.approx({key: seconds / 86400 for key, seconds in events.items()}, rel=0.01)


def test_dashboards_count_the_past_as_fresh(past: Past) -> None:
    fresh = (
        'time() - max(coder_insights_exporter_last_success_timestamp_seconds{collector="insights"}) '
        "< 3 * scalar(max(last_over_time(coder_insights_exporter_poll_interval_seconds[7d])))"
    )

    assert past.prometheus.query(fresh, START + 1.51 * DAY)


def test_recording_rules_read_recorded_series(past: Past) -> None:
    query = "deployment:coder_insights_template_usage_seconds:increase_1h"
    ((labels, points),) = past.prometheus.query(query, START + 1.5 * DAY)
    events = sum(past.seconds_by_template(START + DAY, START + 2 * DAY).values())

    assert labels["job"] == JOB
    assert points[0][1] == pytest.approx(events / 24, rel=0.01)


def test_the_past_has_no_inventory_and_no_self_metrics(past: Past) -> None:
    names = past.prometheus.label_values("__name__", "", START, END)
    exporter = {name for name in names if name.startswith("coder_insights_exporter_")}

    assert "coder_insights_workspaces" not in names
    assert "coder_insights_template_info" not in names
    assert exporter == {
        "coder_insights_exporter_last_success_timestamp_seconds",
        "coder_insights_exporter_poll_interval_seconds",
    }


def test_the_summary_counts_what_was_written(past: Past) -> None:
    assert (past.summary.days, past.summary.start, past.summary.end) == (3, START, END)
    assert past.summary.samples > 50_000
