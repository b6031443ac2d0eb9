"""The configuration is read anew again and again while scrapes go on."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest

from insights_exporter.application import Application
from insights_exporter.coder.client import CoderClient
from insights_exporter.config import load
from insights_exporter.generation import Generation
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.generated import Size, generate
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from insights_exporter.web import WebSource

WAIT = 60.0
PACE = 0.1
"""Seconds that each scraper rests between pages."""
LIMITED = catalogue.USER_ACTIVITY_WINDOW.name
LOGIN = aiohttp.encode_basic_auth("ada", "correct horse")
KINDS = (Generation, CoderClient, Exposition, WebSource, aiohttp.ClientSession, aiohttp.TCPConnector)


@dataclass(frozen=True)
class Told:
    """What one configuration says; all of it must be on a page, or nothing."""

    key: str
    limit: int
    interval: int

    def yaml(self, url: str, filters: str = "") -> str:
        """Return the file."""
        return (
            f"coder: {{url: '{url}', token_file: token, retries: 0}}\n"
            f"poll: {{interval: {self.interval}, offset: 0, jitter: 0, max_staleness: 9000}}\n"
            f"privacy: {{users: hashed, hash_key_file: {self.key}}}\n"
            f"limits: {{families: {{{LIMITED}: {self.limit}}}}}\n"
            "insights: {windows: [7d, 30d], days: 1, weeks: 1}\n"
            f"server: {{port: 0, enable_reload: true, web_config_file: web.yml}}\n{filters}"
        )


ODD = Told("key-of-odd", 7, 4000)
EVEN = Told("key-of-even", 5, 5000)
BROKEN = "poll: {interval: often}\n"


@dataclass
class Place:
    """A folder of files that an exporter reads, and that exporter."""

    folder: Path
    coder: str
    application: Application
    address: str
    session: aiohttp.ClientSession

    def tell(self, text: str) -> None:
        """Replace the configuration."""
        (self.folder / "exporter.yaml").write_text(text)

    async def reload(self) -> int:
        """Ask for a reading and return the status."""
        async with self.session.post(self.address + "/-/reload") as response:
            await response.read()
            return response.status

    async def scrape(self, session: aiohttp.ClientSession) -> str:
        """Return a page."""
        async with session.get(self.address + "/metrics") as response:
            assert response.status == 200
            return await response.text()


@asynccontextmanager
async def placed(folder: Path) -> AsyncIterator[Place]:
    """Run an exporter that reads all it is told from files of a folder."""
    for name, text in ((ODD.key, "odd" * 8), (EVEN.key, "even" * 8), ("token", DEMO_TOKEN)):
        (folder / name).write_text(text)
    users(folder, 0)
    file = folder / "exporter.yaml"
    size, today = Size(templates=2, users=8), datetime.combine(datetime.now(UTC), time(tzinfo=UTC))
    # Today nobody works, or another rollup might change who is within the limit.
    world = replace(generate(size), stopped_collecting_at=today)
    async with AsyncExitStack() as stack:
        coder = await stack.enter_async_context(serve(stage(size, world=world)))
        file.write_text(EVEN.yaml(coder))
        application = Application(load(file, {}), load=lambda: load(file, {}))
        stop = asyncio.Event()
        running = asyncio.create_task(application.run(stop))
        try:
            async with asyncio.timeout(WAIT):
                address = await application.address
            headers = {"Authorization": LOGIN}
            session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
            place = Place(folder, coder, application, address, session)
            async with asyncio.timeout(WAIT):
                while LIMITED not in await place.scrape(session):  # noqa: ASYNC110 - it is behind HTTP.
                    await asyncio.sleep(0.01)
            yield place
        finally:
            stop.set()
            await running


def users(folder: Path, number: int) -> None:
    """Write a web configuration in which one user stays and another is new."""
    ada = (
        (folder / "ada").read_text()
        if number
        else bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
    )
    (folder / "ada").write_text(ada)
    (folder / "web.yml").write_text(f"basic_auth_users:\n  ada: {ada}\n  visitor-{number}: {ada}\n")


def traits(page: str) -> tuple[float, int, int, frozenset[str]]:
    """Return what tells one configuration's page from another's."""
    interval = re.search(rf"^{catalogue.POLL_INTERVAL.name} (\S+)$", page, re.MULTILINE)
    counted = re.search(rf'^{catalogue.SERIES.name}{{family="{LIMITED}"}} (\S+)$', page, re.MULTILINE)
    assert interval is not None
    assert counted is not None
    series = sum(line.startswith(LIMITED + "{") for line in page.splitlines())
    names = frozenset(re.findall(r'username="([^"]+)"', page)) - {catalogue.OTHER}
    return float(interval[1]), int(float(counted[1])), series, names


def held() -> dict[str, Any]:
    """Return what this process holds."""
    gc.collect()
    kinds = Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, KINDS))
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only their number counts.
        "tasks": len(asyncio.all_tasks()),
        "kinds": dict(kinds),
    }


@pytest.mark.parametrize("readings", [40, pytest.param(1000, marks=pytest.mark.heavy)])
async def test_readings_fail_no_scrape_mix_nothing_and_leave_nothing_behind(
    tmp_path: Path, record_property: Callable[[str, object], None], readings: int
) -> None:
    async with placed(tmp_path) as place:
        done = asyncio.Event()
        pages: Counter[tuple[float, int, int, frozenset[str]]] = Counter()

        async def scrape(*, keep: bool) -> None:
            connector = aiohttp.TCPConnector(force_close=not keep)
            headers = {"Authorization": LOGIN}
            async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
                while not done.is_set():
                    pages[traits(await place.scrape(session))] += 1
                    await asyncio.sleep(PACE)

        scraping = [asyncio.create_task(scrape(keep=keep)) for keep in (True, True, False)]
        statuses, settled, objects = Counter[int](), {}, 0
        for number in range(1, readings + 1):
            told = ODD if number % 2 else EVEN
            filters = "filters: {templates: {deny: [nothing]}}\n" if number % 40 < 20 else ""
            place.tell(told.yaml(place.coder, filters) + (BROKEN if number % 10 == 3 else ""))
            await asyncio.to_thread(users, tmp_path, number)
            statuses[await place.reload()] += 1
            if number == readings // 2:
                settled, objects = held(), len(gc.get_objects())
        ended, grown = held(), len(gc.get_objects()) - objects
        done.set()
        await asyncio.gather(*scraping)
    record_property("seen", f"{sum(pages.values())} pages, {settled}, {ended}, {grown} objects more")

    assert statuses == {200: readings * 9 // 10, 500: readings // 10}
    assert sum(pages.values()) >= readings // 5
    by_interval = {interval: (counted, series, names) for interval, counted, series, names in pages}
    assert len(by_interval) == len(pages) == 2, "Some page is of neither configuration."
    assert {(ODD.interval, ODD.limit), (EVEN.interval, EVEN.limit)} == {
        (interval, series) for interval, _, series, _ in pages
    }
    assert all(counted == series for _, counted, series, _ in pages)
    odd, even = by_interval[ODD.interval][2], by_interval[EVEN.interval][2]
    assert odd.isdisjoint(even)
    assert ended["kinds"] == settled["kinds"]
    assert ended["tasks"] <= settled["tasks"] + 10
    assert ended["descriptors"] <= settled["descriptors"] + 10
    assert grown < 2000, "That is more than chance."


@pytest.mark.parametrize("status", [200, 500])
async def test_a_reading_under_way_does_not_hinder_the_end(tmp_path: Path, status: int) -> None:
    async with placed(tmp_path) as place:
        place.tell(ODD.yaml(place.coder) + (BROKEN if status == 500 else ""))
        reading = [asyncio.create_task(place.application.reload()) for _ in range(3)]
        await asyncio.sleep(0)
    await asyncio.gather(*reading, return_exceptions=True)

    assert all(one.done() for one in reading)
