"""An interrupted backfill continues, and its files equal those of an uninterrupted one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insights_exporter.backfill.journal import BackfillError, Journal
from insights_exporter.backfill.samples import SampleSteps
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.errors import ConfigError
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.backfill import backfill_in_process
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.waiting import wait_until

NOW = datetime(2026, 10, 4, 15, 20, tzinfo=UTC)
FIRST_DAY = date(2026, 9, 29)
SETTINGS = Settings(coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today", "7d"), weeks=1))
STEPS = SampleSteps(3600, 3600)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each output file by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


class Interrupt(BaseException):
    """Stops a run at an arbitrary point, as a signal does."""


class InterruptingClock(FakeClock):
    """A clock that stops the run at a given request."""

    requests_left = 10**9

    def monotonic(self) -> float:
        """Count the calls."""
        self.requests_left -= 1
        if self.requests_left < 0:
            raise Interrupt
        return super().monotonic()


async def run(
    folder: Path, deployment: SimulatedDeployment, clock: FakeClock | None = None
) -> dict[str, str]:
    """Run a backfill to its end, and return the hashes of its files."""
    await backfill_in_process(
        deployment, clock or FakeClock(NOW), folder, first_day=FIRST_DAY, settings=SETTINGS, steps=STEPS
    )
    return file_hashes(folder)


@pytest.fixture(scope="module")
def deployment() -> SimulatedDeployment:
    return demo_deployment(Size(templates=2, users=5))


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, deployment: SimulatedDeployment
) -> dict[str, str]:
    return asyncio.run(run(tmp_path_factory.mktemp("uninterrupted"), deployment))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=st.lists(st.integers(1, 400), min_size=1, max_size=3))
def test_interrupted_runs_write_the_same_files(
    points: list[int],
    tmp_path_factory: pytest.TempPathFactory,
    deployment: SimulatedDeployment,
    uninterrupted: dict[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("interrupted")
    for requests in points:
        clock = InterruptingClock(NOW)
        clock.requests_left = requests
        try:
            asyncio.run(run(folder, deployment, clock))
        except (Interrupt, BaseExceptionGroup):
            continue

    assert asyncio.run(run(folder, deployment)) == uninterrupted


async def test_a_later_run_sends_no_request_for_journaled_days(
    tmp_path: Path, deployment: SimulatedDeployment
) -> None:
    clock = InterruptingClock(NOW)
    clock.requests_left = 300
    with pytest.raises((Interrupt, BaseExceptionGroup)):
        await run(tmp_path, deployment, clock)
    journaled = len(list((tmp_path / "journal").glob("*.json.gz")))

    _, complete = await backfill_in_process(
        deployment, FakeClock(NOW), tmp_path / "other", first_day=FIRST_DAY, settings=SETTINGS, steps=STEPS
    )
    _, continued = await backfill_in_process(
        deployment, FakeClock(NOW), tmp_path, first_day=FIRST_DAY, settings=SETTINGS, steps=STEPS
    )

    assert journaled > 5
    assert 0 < continued.pace.total <= complete.pace.total - journaled


@pytest.mark.parametrize(
    ("later", "end"),
    [
        (NOW.replace(hour=19), datetime(2026, 10, 4, 12, tzinfo=UTC)),
        # Coder no longer answers for a part of that day.
        (NOW.replace(day=6), datetime(2026, 10, 5, tzinfo=UTC)),
    ],
)
async def test_a_later_run_keeps_the_end_of_the_first_or_completes_its_last_day(
    later: datetime, end: datetime, tmp_path: Path, deployment: SimulatedDeployment
) -> None:
    clock = InterruptingClock(NOW)
    clock.requests_left = 100
    with pytest.raises((Interrupt, BaseExceptionGroup)):
        await run(tmp_path, deployment, clock)

    summary, _ = await backfill_in_process(
        deployment, FakeClock(later), tmp_path, first_day=FIRST_DAY, settings=SETTINGS, steps=STEPS
    )

    assert (summary.days, summary.end) == (6, end)


async def test_other_options_need_another_folder(tmp_path: Path, deployment: SimulatedDeployment) -> None:
    await run(tmp_path, deployment)

    with pytest.raises(ConfigError, match="--step 1800, which was 3600"):
        await backfill_in_process(
            deployment,
            FakeClock(NOW),
            tmp_path,
            first_day=FIRST_DAY,
            settings=SETTINGS,
            steps=SampleSteps(1800, 3600),
        )


async def test_the_journal_is_private_and_its_responses_are_deleted_at_the_end(
    tmp_path: Path, deployment: SimulatedDeployment
) -> None:
    await run(tmp_path, deployment)
    journal = tmp_path / "journal"

    assert stat.S_IMODE(journal.stat().st_mode) == 0o700
    assert not list(journal.glob("*.json.gz"))
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in journal.iterdir())


async def test_a_full_disk_keeps_what_is_written(
    tmp_path: Path, deployment: SimulatedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def fail_later(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written > 25:
            raise OSError(28, os.strerror(28))
        _ = descriptor

    monkeypatch.setattr(os, "fsync", fail_later)
    with pytest.raises(BackfillError, match=r"No space left on device\. \d of 6 days are written"):
        await run(tmp_path, deployment)
    monkeypatch.undo()

    assert len(await run(tmp_path, deployment)) == 6
    assert Journal(tmp_path).written("2026-09-29") is not None


@dataclass(frozen=True)
class Command:
    """The real command, which writes five days of a simulated Coder."""

    url: str

    def start(self, folder: Path) -> subprocess.Popen[str]:
        """Start the command."""
        today = datetime.now(UTC).date()
        days = [f"--from={today - timedelta(days=6)}", f"--to={today - timedelta(days=2)}"]
        steps = ["--step=1h", "--user-step=1h", "--requests-per-minute=100000"]
        return subprocess.Popen(
            [sys.executable, "-m", "insights_exporter", "backfill", *days, f"--output={folder}", *steps],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "CODER_URL": self.url,
                "CODER_SESSION_TOKEN": DEMO_TOKEN,
                "INSIGHTS_EXPORTER_INSIGHTS_WEEKS": "1",
                "INSIGHTS_EXPORTER_INSIGHTS_WINDOWS": "today,7d",
            },
        )

    async def kill(self, folder: Path, *, ranges: int) -> None:
        """Start the command, and kill it once it has requested some ranges."""
        with self.start(folder) as process:
            journal = folder / "journal"
            await wait_until(
                lambda: process.poll() is not None or len(list(journal.glob("*.gz"))) >= ranges, timeout=60
            )
            process.kill()

    def finish(self, folder: Path) -> str:
        """Run the command to its end, and return its output."""
        with self.start(folder) as process:
            output, _ = process.communicate()
        assert process.returncode == 0, output
        return output


@pytest.fixture
def command() -> Iterator[Command]:
    simulate = ["simulate", "--templates=2", "--users=5", "--port=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "insights_exporter", *simulate], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield Command(server.stdout.readline().split()[-1])
        server.terminate()


async def test_killed_processes_leave_only_complete_files(command: Command, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for ranges in (1, 9, 16):
        await command.kill(killed, ranges=ranges)
    command.finish(killed)
    output = command.finish(whole)

    assert file_hashes(killed) == file_hashes(whole)
    # Standard error is not a terminal, so there is no progress bar.
    assert output.startswith("5 days with ")
