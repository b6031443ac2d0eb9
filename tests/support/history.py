"""Nine weeks of expositions in a real Prometheus, recorded once for all tests.

There is one history for each privacy mode.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import insights_exporter
from insights_exporter.config.settings import UsernameMode
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import (
    AppOutage,
    GeneratedWorld,
    Size,
    SlowRegion,
    generate_world,
)
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.simulator.usage import UserDay
from tests.support.clock import FakeClock
from tests.support.history_recorder import AgentStatsFeed, recorder, to_timestamped_samples
from tests.support.prometheus import Prometheus

__all__ = [
    "END",
    "INSTANCES",
    "JOB",
    "History",
    "cache_key",
    "create_blocks",
    "histories",
    "history",
    "history_deployment",
]

END: Final = datetime(2026, 3, 18, 14, 30, tzinfo=UTC)
"""The end of the history, a Wednesday afternoon; every day has a scrape at this time."""

JOB: Final = "coder-insights"
INSTANCES: Final = ("exporter-a:9766", "exporter-b:9766")
"""Two replicas; the second starts a few hours before the end, in the mode ``named`` only."""

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_SCRAPE_SCHEDULE: Final = (
    (63 * _DAY, 3 * _DAY, 3 * _DAY),
    (9 * _DAY, 6 * _HOUR, 6 * _HOUR),
    (2 * _DAY, _HOUR, _HOUR / 2),
    (3 * _HOUR, _HOUR / 4, _HOUR / 12),
)
"""Start before the end, poll interval and scrape interval; both intervals decrease."""

_EXTRA_SCRAPES: Final = (28 * _DAY, 14 * _DAY)
"""Whole weeks before the end, for comparisons."""

_WORLD_SIZE: Final = Size(5, 16, active_templates=3)
_IDLE_USER: Final = 5
_SOURCE_MODULES: Final = ("clock", "in_process_session", "history", "history_recorder")
_AGENT_STATS_START: Final = END - 9 * _DAY
_SECOND_REPLICA_START: Final = END - 6 * _HOUR
_MAX_BLOCK_DURATION: Final = "4374h"
"""The duration of a block; it exceeds the history, since the text is read once for each block."""


def _scrape_times() -> list[tuple[datetime, bool]]:
    """Return the times of scrapes, and whether the exporter polled just before."""
    phase_ends = (*(offset for offset, _, _ in _SCRAPE_SCHEDULE[1:]), timedelta(0))
    polled_by_time = {END - offset: True for offset in (*_EXTRA_SCRAPES, timedelta(0))}
    for (offset, poll, scrape), end in zip(_SCRAPE_SCHEDULE, phase_ends, strict=True):
        for number in range((offset - end) // scrape):
            polled_by_time[END - offset + number * scrape] = number * scrape % poll == timedelta(0)
    return sorted(polled_by_time.items())


class _HistoryWorld(GeneratedWorld):
    """A world in which one user signs in and never works."""

    def usage_on(self, day: date) -> Iterable[UserDay]:
        return [user_day for user_day in GeneratedWorld.usage_on(self, day) if user_day.user != _IDLE_USER]


def history_deployment() -> SimulatedDeployment:
    """Return the deployment at the end of the history.

    A region has been slow since yesterday and an app is down.
    """
    generated_world = generate_world(_WORLD_SIZE, seed=3, today=END.date(), joined=2, left=1)
    world = _HistoryWorld(
        **{
            dataclass_field.name: getattr(generated_world, dataclass_field.name)
            for dataclass_field in fields(generated_world)
            if dataclass_field.init
        }
    )
    world.incidents += [
        SlowRegion("europe", END - 26 * _HOUR, END + _DAY, 9.0),
        AppOutage("code-server", END - 2 * _HOUR, END + _DAY),
    ]
    meters = {"managed_agent_limit": 1000, "ai_governance_user_limit": 10, "agent_runtime_hours": None}
    options = ApiOptions(rate_limit=0, user_limit=20, feature_limits=meters)
    return demo_deployment(_WORLD_SIZE, now=lambda: END, options=options, world=world)


async def _record(files: Mapping[UsernameMode, Path]) -> None:
    clock, deployment = FakeClock(), history_deployment()
    scrape_times = _scrape_times()
    clock.current_time = scrape_times[0][0]
    agents = AgentStatsFeed(deployment)
    async with recorder(deployment, clock, tuple(files)) as exporter:
        with ExitStack() as stack:
            output_files = {users: stack.enter_context(file.open("wb")) for users, file in files.items()}
            for moment, is_poll in scrape_times:
                clock.advance((moment - clock.now()).total_seconds())
                if is_poll:
                    await exporter.poll(agents if moment >= _AGENT_STATS_START else None)
                for users, exposition in exporter.exposition_bodies().items():
                    is_scraped_twice = users is UsernameMode.NAMED and moment >= _SECOND_REPLICA_START
                    for instance in INSTANCES if is_scraped_twice else INSTANCES[:1]:
                        output_files[users].write(
                            to_timestamped_samples(exposition, moment, job=JOB, instance=instance)
                        )
            for output_file in output_files.values():
                output_file.write(b"# EOF\n")


def _cached_blocks(cache_dir: Path) -> Path:
    """Return the folder of the histories; the first test records them, a change of code invalidates them."""
    blocks = cache_dir / cache_key()
    with (cache_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not blocks.exists():
            for stale_dir in cache_dir.glob("history-*"):
                shutil.rmtree(stale_dir)
            with tempfile.TemporaryDirectory(dir=cache_dir) as temp_dir:
                exposition_files = {users: Path(temp_dir, f"{users}.txt") for users in UsernameMode}
                asyncio.run(_record(exposition_files))
                partial_blocks = Path(temp_dir, "blocks")
                for users, text in exposition_files.items():
                    create_blocks(text, partial_blocks / users)
                partial_blocks.rename(blocks)
    return blocks


def create_blocks(text: Path, data: Path) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    command += ["--max-block-duration", _MAX_BLOCK_DURATION, str(text), str(data)]
    subprocess.run(command, check=True, capture_output=True)


def cache_key() -> str:
    """Return a hash of the code that records the history."""
    package, support = Path(insights_exporter.__file__).parent, Path(__file__).parent
    excluded_packages = {package / "bundle", package / "landing_page", package / "server"}
    files = [
        module_file
        for module_file in sorted(package.rglob("*.py"))
        if excluded_packages.isdisjoint(module_file.parents)
    ]
    digest = hashlib.sha256()
    for file in (*files, *(support / f"{name}.py" for name in _SOURCE_MODULES)):
        digest.update(file.read_bytes())
    return f"history-{digest.hexdigest()[:16]}"


@dataclass(frozen=True)
class History:
    """The recorded history up to ``end``, and its Prometheus."""

    prometheus: Prometheus
    end: datetime = END
    deployment: SimulatedDeployment = field(default_factory=history_deployment)


@pytest.fixture(scope="session")
def histories(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[UsernameMode], History]]:
    """Nine weeks of expositions by mode; each test process has its own copy."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed, so nothing answers the queries.")
    blocks = _cached_blocks(pytestconfig.cache.mkdir("history"))
    with ExitStack() as stack:

        @cache
        def history_for_mode(users: UsernameMode) -> History:
            data = tmp_path_factory.mktemp("prometheus") / "data"
            shutil.copytree(blocks / users, data)
            return History(stack.enter_context(Prometheus.run(data)))

        yield history_for_mode


@pytest.fixture(scope="session")
def history(histories: Callable[[UsernameMode], History]) -> History:
    """Nine weeks of expositions in the mode ``named``."""
    return histories(UsernameMode.NAMED)
