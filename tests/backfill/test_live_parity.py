"""A backfilled boundary equals what a live exporter would have served at that time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from insights_exporter.backfill.samples import SampleSteps
from insights_exporter.coder.client import CoderClient
from insights_exporter.collectors.inventory import InventoryCollector
from insights_exporter.config.settings import (
    FilterSettings,
    InsightsSettings,
    NameFilter,
    PrivacySettings,
    Settings,
    UsernameMode,
)
from insights_exporter.insights.collector import InsightsCollector
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.privacy import Filters, load_username_policy
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.snapshot import Inventory, Snapshot, Timestamped
from insights_exporter.telemetry import Telemetry
from tests.support.backfill import SampleRecorder, backfill_in_process
from tests.support.clock import FakeClock
from tests.support.exposition_parsing import parse_series
from tests.support.in_process_exporter import CODER_SETTINGS, SeriesKey
from tests.support.in_process_session import in_process_session

NOW = datetime(2026, 10, 4, 15, 20, tzinfo=UTC)
FEW_WINDOWS = InsightsSettings(windows=("today", "yesterday", "7d"), weeks=2)
HOURLY = SampleSteps(3600, 3600)
DATA_TIME = "coder_insights_exporter_last_success_timestamp_seconds", frozenset({("collector", "insights")})
POLL_INTERVAL = "coder_insights_exporter_poll_interval_seconds", frozenset[tuple[str, str]]()
HASHED = PrivacySettings(users=UsernameMode.HASHED, hash_key=LiteralSecret(Secret("0123456789abcdef")))


async def live_series(
    deployment: SimulatedDeployment, settings: Settings, poll_time: datetime
) -> Mapping[SeriesKey, float]:
    """Return the series of a first poll at a past time, with responses that no longer change."""
    async with CoderClient(
        settings.coder, clock=FakeClock(NOW), rng=Random(1), session=in_process_session(deployment)
    ) as client:
        filters = Filters(settings.filters)
        inventory = await InventoryCollector(
            poll=settings.poll, filters=filters, telemetry=Telemetry()
        ).collect(client, now=NOW)
        templates = Inventory(inventory.value.templates)
        insights = await InsightsCollector(
            settings.insights, poll=settings.poll, filters=filters, telemetry=Telemetry()
        ).collect(client, now=poll_time, inventory=templates)
    exposition = Exposition(
        username_policy=load_username_policy(settings.privacy),
        limits=settings.limits,
        after_block=lambda: None,
    )
    await exposition.publish(
        Snapshot(
            poll_time,
            inventory=Timestamped(templates, poll_time),
            insights=Timestamped(insights.value, poll_time),
        )
    )
    return parse_series(exposition.body(Format.OPENMETRICS, gzip=False))


async def test_small_groups_are_withheld(tmp_path: Path) -> None:
    recorder = SampleRecorder()
    privacy = PrivacySettings(users=UsernameMode.OFF, min_group_size=5)

    await backfill_in_process(
        demo_deployment(Size(templates=3, users=10)),
        FakeClock(NOW),
        tmp_path,
        first_day=date(2026, 10, 2),
        settings=Settings(coder=CODER_SETTINGS, insights=FEW_WINDOWS, privacy=privacy),
        to=recorder,
        steps=HOURLY,
    )

    counts = {
        value
        for (name, _), values in recorder.samples.items()
        if name == "coder_insights_template_unique_users"
        for value in values.values()
    }

    assert not counts & {1, 2, 3, 4}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(coder=CODER_SETTINGS, insights=FEW_WINDOWS),
        Settings(
            coder=CODER_SETTINGS,
            insights=InsightsSettings(
                windows=("today", "yesterday", "7d"), weeks=2, utc_offset=-5, anchor=date(2026, 8, 3)
            ),
        ),
        Settings(
            coder=CODER_SETTINGS,
            insights=FEW_WINDOWS,
            privacy=HASHED,
            filters=FilterSettings(users=NameFilter(deny=("a*",)), templates=NameFilter(deny=("go-*",))),
        ),
    ],
    ids=["quarter", "anchor", "hashed"],
)
async def test_equals_a_live_poll_at_every_boundary(settings: Settings, tmp_path: Path) -> None:
    deployment = demo_deployment(Size(templates=3, users=8))
    recorder = SampleRecorder()

    await backfill_in_process(
        deployment,
        FakeClock(NOW),
        tmp_path,
        first_day=date(2026, 9, 29),
        settings=settings,
        to=recorder,
        with_long_windows=True,
        steps=HOURLY,
    )

    samples = recorder.samples
    first_end = datetime(2026, 9, 30, tzinfo=UTC) - timedelta(hours=settings.insights.utc_offset)
    for end in [*(first_end + timedelta(days=day) for day in range(0, 5, 2)), NOW.replace(hour=12, minute=0)]:
        if end > NOW:
            continue
        live = await live_series(deployment, settings, end - timedelta(seconds=1))
        past = {key: values[end.timestamp()] for key, values in samples.items() if end.timestamp() in values}
        # A counter that appears on the next day begins with 0.
        past = {key: value for key, value in past.items() if value or key in live}
        assert past.pop(DATA_TIME) == end.timestamp()
        assert past.pop(POLL_INTERVAL) == settings.poll.interval
        names = {name for name, _ in past}

        assert len(past) > 150
        assert {key: value for key, value in past.items() if live.get(key) != value} == {}
        # Unused apps and options of today's inventory are unknown in the past.
        assert {key for key, value in live.items() if key[0] in names and value} <= past.keys()
