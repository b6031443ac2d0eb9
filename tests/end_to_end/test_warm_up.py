"""A slow Coder: the exporter is useful early, complete later, and keeps within its share of Coder's time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from insights_exporter.app.poller import Poller
from insights_exporter.coder import models
from insights_exporter.config.settings import PollSettings, Settings
from insights_exporter.insights.budget import ApiTimeBudget
from insights_exporter.snapshot import Snapshot
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder, UsageEvent, template

NOW = datetime(2026, 11, 24, 14, 3, tzinfo=UTC)
TEMPLATES = tuple(f"t{number}" for number in range(20))


class SlowDeployment:
    """A poller of a Coder that needs the same time for each insights request."""

    def __init__(self, *, seconds_per_request: float = 1.0) -> None:
        self.clock = FakeClock(NOW)
        self.seconds_per_request = seconds_per_request
        self.seconds = 0.0
        """The seconds of all requests."""
        self.api_time = ApiTimeBudget.create(PollSettings())
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
        await self.poller().run(self.stop)

    def poller(self) -> Poller:
        """Return the poller."""
        return Poller(
            self.coder,
            Settings(coder=CODER_SETTINGS),
            publish=self.publish,
            clock=self.clock,
            random=Random(1),
            telemetry=self.telemetry,
            api_time=self.api_time,
        )

    async def poll(self, poller: Poller, polls: int) -> None:
        """Poll on schedule while all templates are in use."""
        for _ in range(polls):
            for name in TEMPLATES:
                self.coder.add_usage(UsageEvent(name, "ada", self.clock.now()))
            await poller.poll_once()
            self.clock.advance(poller.seconds_to_sleep())

    def _take_time(self, call: ApiCall) -> None:
        if call.endpoint in {"report", "activity", "latency"}:
            self.clock.elapsed += self.seconds_per_request
            self.seconds += self.seconds_per_request
            self.api_time.request_finished(call.endpoint, "200", self.seconds_per_request)


async def test_slow_start_is_useful_early_and_complete_without_a_pause() -> None:
    deployment = SlowDeployment()
    await deployment.run()
    (first_at, first), *_, (last_at, last) = deployment.published
    assert first.insights is not None
    assert last.insights is not None
    first_windows = [{usage.window for usage in one.windows} for one in first.insights.value.templates]

    assert first_windows == [{"today"}] * len(TEMPLATES)
    assert first_at < 90
    assert first.insights.value.warm_up_ratio < 1.0
    assert [len(one.windows) for one in last.insights.value.templates] == [4] * len(TEMPLATES)
    assert last.insights.value.pending_totals == {}
    # Polls continue five seconds apart instead of in the next slot.
    assert deployment.clock.sleeps
    assert set(deployment.clock.sleeps[:-1]) <= {5.0}
    assert set(deployment.telemetry.poll_results) == {"ok"}
    assert last_at < 600


async def test_regular_polls_keep_within_the_share_of_coders_time() -> None:
    """Without the limit, Coder would spend a quarter of the time on requests."""
    deployment = SlowDeployment(seconds_per_request=1.5)
    poller = deployment.poller()
    while deployment.api_time.seconds > 0:
        await deployment.poll(poller, 1)
    seconds, elapsed = deployment.seconds, deployment.clock.elapsed
    deployment.published.clear()
    await deployment.poll(poller, 36)
    share = (deployment.seconds - seconds) / (deployment.clock.elapsed - elapsed)

    # Debts of the first and of the last poll cancel out except for one poll of 36.
    assert 0.08 < share < 0.1 * 37 / 36
    for _, snapshot in deployment.published:
        assert snapshot.insights is not None
        insights = snapshot.insights.value
        assert snapshot.insights.at - insights.windows_updated_at["today"] <= timedelta(minutes=20)
        assert [len(one.windows) for one in insights.templates] == [4] * len(TEMPLATES)
        assert insights.pending_totals == {}


async def test_poll_does_not_follow_at_once_when_coders_time_is_used_up() -> None:
    deployment = SlowDeployment(seconds_per_request=20.0)
    poller = deployment.poller()
    await deployment.poll(poller, 1)

    assert deployment.api_time.is_used_up
    assert poller.state.is_warming_up
    assert poller.seconds_to_sleep() > 60
