"""Import into VictoriaMetrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from insights_exporter.backfill.journal import BackfillError
from insights_exporter.backfill.push import VictoriaMetricsImport
from insights_exporter.backfill.samples import SampleSteps
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.backfill import SampleRecorder, backfill_in_process, read_samples
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.network import free_port

NOW = datetime(2026, 10, 4, 15, 20, tzinfo=UTC)
SETTINGS = Settings(coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today", "yesterday"), weeks=1))


@dataclass
class Receiver:
    """Stands in for VictoriaMetrics; it answers with ``statuses`` in turn, then with 204."""

    statuses: list[int] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        """Keep the body of an accepted request."""
        body = await request.read()
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 204:
            self.paths.add(request.path)
            self.bodies.append(body)
        return web.Response(status=status)


@asynccontextmanager
async def run_receiver(*statuses: int) -> AsyncIterator[Receiver]:
    """Run a receiver within the context."""
    receiver = Receiver(list(statuses))
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/{path:.*}", receiver.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiver.url = f"http://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def push(receiver: Receiver, folder: Path, *, path: str = "") -> None:
    """Push two days."""
    url = receiver.url + path
    async with aiohttp.ClientSession() as session:
        await backfill_in_process(
            demo_deployment(Size(templates=2, users=4)),
            FakeClock(NOW),
            folder,
            first_day=date(2026, 10, 2),
            settings=SETTINGS,
            to=VictoriaMetricsImport(url, session=session, clock=FakeClock(NOW)),
            steps=SampleSteps(3600, 3600),
            push_url=url,
        )


async def test_sends_the_samples_of_the_files_in_milliseconds(tmp_path: Path) -> None:
    recorder = SampleRecorder()
    async with run_receiver() as receiver:
        await push(receiver, tmp_path / "pushed")
    await backfill_in_process(
        demo_deployment(Size(templates=2, users=4)),
        FakeClock(NOW),
        tmp_path / "written",
        first_day=date(2026, 10, 2),
        settings=SETTINGS,
        to=recorder,
        steps=SampleSteps(3600, 3600),
    )

    pushed = read_samples(receiver.bodies)

    assert receiver.paths == {"/api/v1/import/prometheus"}
    assert {
        key: {time / 1000: value for time, value in values.items()} for key, values in pushed.items()
    } == (recorder.samples)


async def test_a_complete_url_is_taken_as_it_is(tmp_path: Path) -> None:
    path = "/insert/0/prometheus/api/v1/import/prometheus"
    async with run_receiver() as receiver:
        await push(receiver, tmp_path, path=path)

    assert receiver.paths == {path}


async def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    async with run_receiver(503, 429) as receiver:
        await push(receiver, tmp_path)

    assert len(receiver.bodies) == 3


async def test_a_refusal_ends_the_run_and_the_next_run_sends_the_rest(tmp_path: Path) -> None:
    async with run_receiver(204, 400) as receiver:
        with pytest.raises(BackfillError, match=r"expected HTTP 204, got 400\. 1 of 3 days are written"):
            await push(receiver, tmp_path)
        receiver_url = receiver.url
        await push(receiver, tmp_path)

    assert receiver_url
    assert len(receiver.bodies) == 3
