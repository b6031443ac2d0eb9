"""A slow Coder: the exporter is useful early, and complete after several polls without a pause."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random

from insights_exporter.app.poller import Poller
from insights_exporter.coder import models
from insights_exporter.config.settings import Settings
from insights_exporter.snapshot import Snapshot
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder, UsageEvent, template

NOW = datetime(2026, 11, 24, 14, 3, tzinfo=UTC)
TEMPLATES = tuple(f"t{number}" for number in range(20))


class SlowDeployment:
    """A poller of a Coder that needs a second for each insights request."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.coder = ScriptedCoder(self.clock, template_list=[template(name) for name in TEMPLATES])
        self.coder.user_list = [models.User("ada", "ada"), models.User("bob", "bob")]
        for name in TEMPLATES:
            for day in range(1, 24):
                for user in ("ada", "bob"):
                    self.coder.add_usage(UsageEvent(name, user, NOW.replace(day=day, hour=1)))
                    self.coder.add_usage(UsageEvent(name, user, NOW.replace(hour=1)))
        self.coder.error_for = self._take_time
        self.published: list[tuple[float, Snapshot]] = []
        self.stop = asyncio.Event()
        self.telemetry = RecordingTelemetry()

    async def publish(self, snapshot: Snapshot) -> None:
        """Record the snapshot and its time; stop after the first complete one."""
        self.published.append((self.clock.elapsed, snapshot))
        assert snapshot.insights is not None
        if snapshot.insights.value.warm_up_ratio == 1.0:
            self.stop.set()

    async def run(self) -> None:
        """Poll until the data is complete."""
        poller = Poller(
            self.coder,
            Settings(coder=CODER_SETTINGS),
            publish=self.publish,
            clock=self.clock,
            random=Random(1),
            telemetry=self.telemetry,
        )
        await poller.run(self.stop)

    def _take_time(self, call: ApiCall) -> None:
        if call.endpoint in {"report", "activity", "latency"}:
            self.clock.elapsed += 1.0


async def test_slow_start_is_useful_early_and_complete_without_a_pause() -> None:
    deployment = SlowDeployment()
    await deployment.run()
    (first_at, first), *_, (last_at, last) = deployment.published
    assert first.insights is not None
    assert last.insights is not None
    first_windows = [{usage.window for usage in one.windows} for one in first.insights.value.templates]

    assert first_windows == [{"today", "7d"}] * len(TEMPLATES)
    # The early snapshot comes before the end of the first poll, whose requests start within 180 s.
    assert first_at < 180
    assert first.insights.value.warm_up_ratio < 1.0
    assert [len(one.windows) for one in last.insights.value.templates] == [4] * len(TEMPLATES)
    assert last.insights.value.pending_totals == {}
    # Polls continue five seconds apart instead of in the next slot.
    assert deployment.clock.sleeps
    assert set(deployment.clock.sleeps[:-1]) <= {5.0}
    assert set(deployment.telemetry.poll_results) == {"ok"}
    assert last_at < 600
