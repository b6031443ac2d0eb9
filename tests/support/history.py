"""Nine weeks of the exporter's pages in a real Prometheus, made once for all tests that look at them.

The same weeks are there in each privacy mode.
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
from insights_exporter.settings import UserNames
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import AppOutage, GeneratedWorld, Size, SlowRegion, generate
from insights_exporter.simulator.stage import stage
from insights_exporter.simulator.usage import UserDay
from tests.support.clock import FakeClock
from tests.support.prometheus import Prometheus
from tests.support.recorder import AgentReports, recorder, stamped

__all__ = ["END", "INSTANCES", "JOB", "History", "histories", "history", "made_up"]

END: Final = datetime(2026, 3, 18, 14, 30, tzinfo=UTC)
"""A Wednesday afternoon, and "now" for all who look back: at this time of every day there is a page."""

JOB: Final = "coder-insights"
INSTANCES: Final = ("exporter-a:9766", "exporter-b:9766")
"""Two replicas; the second one came a few hours before the end, and only where users are named."""

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_SPANS: Final = (
    (63 * _DAY, 3 * _DAY, 3 * _DAY),
    (9 * _DAY, 6 * _HOUR, 6 * _HOUR),
    (2 * _DAY, _HOUR, _HOUR / 2),
    (3 * _HOUR, _HOUR / 4, _HOUR / 12),
)
"""From how long before the end on, how often was polled and how often scraped: ever more often."""

_BESIDES: Final = (28 * _DAY, 14 * _DAY)
"""Whole weeks before the end, which comparisons look at."""

_SIZE: Final = Size(5, 16, active_templates=3)
_ONLOOKER: Final = 5
_MADE_BY: Final = ("clock", "direct", "history", "recorder")
_AGENTS_SINCE: Final = END - 9 * _DAY
_SECOND_SINCE: Final = END - 6 * _HOUR
_ONE_BLOCK: Final = "4374h"
"""Longer than all of it: the text is read once for each block."""


def _moments() -> list[tuple[datetime, bool]]:
    """Return when pages were scraped, and whether the exporter had polled just before."""
    ends = (*(back for back, _, _ in _SPANS[1:]), timedelta(0))
    found = {END - back: True for back in (*_BESIDES, timedelta(0))}
    for (back, poll, scrape), end in zip(_SPANS, ends, strict=True):
        for number in range((back - end) // scrape):
            found[END - back + number * scrape] = number * scrape % poll == timedelta(0)
    return sorted(found.items())


class _World(GeneratedWorld):
    """A world in which one user looks around and never works."""

    def use_on(self, day: date) -> Iterable[UserDay]:
        return [one for one in GeneratedWorld.use_on(self, day) if one.user != _ONLOOKER]


def made_up() -> SimulatedDeployment:
    """Return the deployment of the history, as it is at the end.

    A region has been slow since yesterday and an app is down, so that there is something to find.
    """
    made = generate(_SIZE, seed=3)
    world = _World(**{one.name: getattr(made, one.name) for one in fields(made) if one.init})
    world.incidents += [
        SlowRegion("europe", END - 26 * _HOUR, END + _DAY, 9.0),
        AppOutage("code-server", END - 2 * _HOUR, END + _DAY),
    ]
    options = ApiOptions(rate_limit=0, user_limit=20)
    return stage(_SIZE, now=lambda: END, options=options, world=world)


async def _record(files: Mapping[UserNames, Path]) -> None:
    clock, deployment = FakeClock(), made_up()
    moments = _moments()
    clock.moment = moments[0][0]
    agents = AgentReports(deployment)
    async with recorder(deployment, clock, tuple(files)) as exporter:
        with ExitStack() as stack:
            outs = {users: stack.enter_context(file.open("wb")) for users, file in files.items()}
            for moment, polled in moments:
                clock.advance((moment - clock.now()).total_seconds())
                if polled:
                    await exporter.poll(agents if moment >= _AGENTS_SINCE else None)
                for users, page in exporter.pages().items():
                    both = users is UserNames.NAMED and moment >= _SECOND_SINCE
                    for instance in INSTANCES if both else INSTANCES[:1]:
                        outs[users].write(stamped(page, moment, job=JOB, instance=instance))
            for out in outs.values():
                out.write(b"# EOF\n")


def _blocks(folder: Path) -> Path:
    """Return where the histories are; whoever comes first makes them, and they serve until code changes."""
    blocks = folder / _digest()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not blocks.exists():
            for old in folder.glob("history-*"):
                shutil.rmtree(old)
            with tempfile.TemporaryDirectory(dir=folder) as made:
                texts = {users: Path(made, f"{users}.txt") for users in UserNames}
                asyncio.run(_record(texts))
                part = Path(made, "blocks")
                for users, text in texts.items():
                    _store(text, part / users)
                part.rename(blocks)
    return blocks


def _store(text: Path, data: Path) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    command += ["--max-block-duration", _ONE_BLOCK, str(text), str(data)]
    subprocess.run(command, check=True, capture_output=True)


def _digest() -> str:
    """Return a name that changes with the code that the history is made by."""
    package, support = Path(insights_exporter.__file__).parent, Path(__file__).parent
    unrelated = {package / "bundle", package / "page", package / "web"}
    files = [one for one in sorted(package.rglob("*.py")) if unrelated.isdisjoint(one.parents)]
    digest = hashlib.sha256()
    for file in (*files, *(support / f"{name}.py" for name in _MADE_BY)):
        digest.update(file.read_bytes())
    return f"history-{digest.hexdigest()[:16]}"


@dataclass(frozen=True)
class History:
    """The past of a deployment up to ``end``, and the Prometheus that knows it."""

    prometheus: Prometheus
    end: datetime = END
    deployment: SimulatedDeployment = field(default_factory=made_up)


@pytest.fixture(scope="session")
def histories(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[UserNames], History]]:
    """Nine weeks of pages in each mode; each process of the test run has copies of its own."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed, so nothing answers the queries.")
    blocks = _blocks(pytestconfig.cache.mkdir("history"))
    with ExitStack() as stack:

        @cache
        def of(users: UserNames) -> History:
            data = tmp_path_factory.mktemp("prometheus") / "data"
            shutil.copytree(blocks / users, data)
            return History(stack.enter_context(Prometheus.serving(data)))

        yield of


@pytest.fixture(scope="session")
def history(histories: Callable[[UserNames], History]) -> History:
    """Nine weeks of pages that name users."""
    return histories(UserNames.NAMED)
