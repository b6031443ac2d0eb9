"""Reloads from files: consistency under concurrent scrapes, resource leaks, and kept state."""

from __future__ import annotations

import asyncio
import gc
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

from insights_exporter.app.application import Application
from insights_exporter.app.runtime import Runtime
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.loading import load
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.server.auth import WebConfigReloader
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import Status
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size, generate_world
from tests.support.waiting import wait_until

WAIT = 60.0
SCRAPE_INTERVAL = 0.1
"""Seconds between two scrapes of a scraper."""
LIMITED_FAMILY = catalogue.USER_ACTIVITY_WINDOW.name
LOGIN = aiohttp.encode_basic_auth("ada", "correct horse")
TRACKED_TYPES = (
    Runtime,
    CoderClient,
    Exposition,
    WebConfigReloader,
    aiohttp.ClientSession,
    aiohttp.TCPConnector,
)


@dataclass(frozen=True)
class Configuration:
    """Values of one configuration; a page must show all of them or none."""

    hash_key_file: str
    limit: int
    interval: int

    def to_yaml(self, url: str, filters: str = "") -> str:
        """Return the configuration file."""
        return (
            f"coder: {{url: '{url}', token_file: token, retries: 0}}\n"
            f"poll: {{interval: {self.interval}, offset: 0, jitter: 0, max_staleness: 9000}}\n"
            f"privacy: {{users: hashed, hash_key_file: {self.hash_key_file}}}\n"
            f"limits: {{families: {{{LIMITED_FAMILY}: {self.limit}}}}}\n"
            "insights: {windows: [7d, 30d], days: 1, weeks: 1}\n"
            f"server: {{port: 0, enable_reload: true, web_config_file: web.yml}}\n{filters}"
        )


CONFIG_A = Configuration("key-of-odd", 7, 4000)
CONFIG_B = Configuration("key-of-even", 5, 5000)
INVALID_YAML = "poll: {interval: often}\n"


@dataclass
class ExporterProcess:
    """A running exporter, the folder of its files, and its simulated deployment."""

    folder: Path
    coder: str
    deployment: SimulatedDeployment
    application: Application
    address: str
    session: aiohttp.ClientSession

    def write_config(self, text: str) -> None:
        """Write the configuration file."""
        (self.folder / "exporter.yaml").write_text(text)

    async def reload(self) -> int:
        """Reload over HTTP and return the status."""
        async with self.session.post(self.address + "/-/reload") as response:
            await response.read()
            return response.status

    async def scrape(self, session: aiohttp.ClientSession) -> str:
        """Return the metrics."""
        async with session.get(self.address + "/metrics") as response:
            assert response.status == 200
            return await response.text()


@asynccontextmanager
async def run_exporter(folder: Path) -> AsyncIterator[ExporterProcess]:
    """Run an exporter whose configuration and secrets are files in the folder."""
    for name, text in (
        (CONFIG_A.hash_key_file, "odd" * 8),
        (CONFIG_B.hash_key_file, "even" * 8),
        ("token", DEMO_TOKEN),
    ):
        (folder / name).write_text(text)
    write_web_config(folder, 0)
    file = folder / "exporter.yaml"
    size, today = Size(templates=2, users=8), datetime.combine(datetime.now(UTC), time(tzinfo=UTC))
    # Without usage today, a new rollup cannot change which users are within the limit.
    world = replace(generate_world(size), usage_stats_disabled_at=today)
    async with AsyncExitStack() as stack:
        deployment = demo_deployment(size, world=world)
        coder = await stack.enter_async_context(serve(deployment))
        file.write_text(CONFIG_B.to_yaml(coder))
        application = Application(load(file, {}), load=lambda: load(file, {}))
        stop = asyncio.Event()
        running = asyncio.create_task(application.run(stop))
        try:
            async with asyncio.timeout(WAIT):
                address = await application.address
            headers = {"Authorization": LOGIN}
            session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
            exporter = ExporterProcess(folder, coder, deployment, application, address, session)

            async def is_polled() -> bool:
                return LIMITED_FAMILY in await exporter.scrape(session)

            await wait_until(is_polled, timeout=WAIT)
            yield exporter
        finally:
            stop.set()
            await running


def write_web_config(folder: Path, version: int) -> None:
    """Write a web configuration with an unchanged user and a new user."""
    ada = (
        (folder / "ada").read_text()
        if version
        else bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
    )
    (folder / "ada").write_text(ada)
    (folder / "web.yml").write_text(f"basic_auth_users:\n  ada: {ada}\n  visitor-{version}: {ada}\n")


def page_fingerprint(page: str) -> tuple[float, int, int, frozenset[str]]:
    """Return the poll interval, the reported and actual series of the limited family, and the usernames."""
    interval = re.search(rf"^{catalogue.POLL_INTERVAL.name} (\S+)$", page, re.MULTILINE)
    reported_series = re.search(
        rf'^{catalogue.SERIES.name}{{family="{LIMITED_FAMILY}"}} (\S+)$', page, re.MULTILINE
    )
    assert interval is not None
    assert reported_series is not None
    series = sum(line.startswith(LIMITED_FAMILY + "{") for line in page.splitlines())
    names = frozenset(re.findall(r'username="([^"]+)"', page)) - {catalogue.OTHER}
    return float(interval[1]), int(float(reported_series[1])), series, names


def resource_usage() -> dict[str, Any]:
    """Return file descriptors, tasks and instances of this process."""
    gc.collect()
    kinds = Counter(
        type(tracked).__name__ for tracked in gc.get_objects() if isinstance(tracked, TRACKED_TYPES)
    )
    return {
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "tasks": len(asyncio.all_tasks()),
        "kinds": dict(kinds),
    }


@pytest.mark.parametrize("readings", [40, pytest.param(1000, marks=pytest.mark.heavy)])
async def test_reloads_fail_no_scrape_mix_nothing_and_leak_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None], readings: int
) -> None:
    async with run_exporter(tmp_path) as exporter:
        done = asyncio.Event()
        pages: Counter[tuple[float, int, int, frozenset[str]]] = Counter()

        async def scrape(*, keep_alive: bool) -> None:
            connector = aiohttp.TCPConnector(force_close=not keep_alive)
            headers = {"Authorization": LOGIN}
            async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
                while not done.is_set():
                    pages[page_fingerprint(await exporter.scrape(session))] += 1
                    await asyncio.sleep(SCRAPE_INTERVAL)

        scraping = [asyncio.create_task(scrape(keep_alive=keep_alive)) for keep_alive in (True, True, False)]
        statuses, usage_midway, objects = Counter[int](), {}, 0
        for number in range(1, readings + 1):
            configuration = CONFIG_A if number % 2 else CONFIG_B
            filters = "filters: {templates: {deny: [nothing]}}\n" if number % 40 < 20 else ""
            exporter.write_config(
                configuration.to_yaml(exporter.coder, filters) + (INVALID_YAML if number % 10 == 3 else "")
            )
            await asyncio.to_thread(write_web_config, tmp_path, number)
            statuses[await exporter.reload()] += 1
            if number == readings // 2:
                usage_midway, objects = resource_usage(), len(gc.get_objects())
        usage_at_end, new_objects = resource_usage(), len(gc.get_objects()) - objects
        done.set()
        await asyncio.gather(*scraping)
    record_property(
        "seen", f"{sum(pages.values())} pages, {usage_midway}, {usage_at_end}, {new_objects} objects more"
    )

    assert statuses == {200: readings * 9 // 10, 500: readings // 10}
    assert sum(pages.values()) >= readings // 5
    by_interval = {interval: (counted, series, names) for interval, counted, series, names in pages}
    assert len(by_interval) == len(pages) == 2, "A page mixes both configurations."
    assert {(CONFIG_A.interval, CONFIG_A.limit), (CONFIG_B.interval, CONFIG_B.limit)} == {
        (interval, series) for interval, _, series, _ in pages
    }
    assert all(counted == series for _, counted, series, _ in pages)
    odd, even = by_interval[CONFIG_A.interval][2], by_interval[CONFIG_B.interval][2]
    assert odd.isdisjoint(even)
    # Garbage of earlier tests in this process may be freed meanwhile, so only growth is a leak.
    assert usage_midway["kinds"].keys() >= {kind.__name__ for kind in TRACKED_TYPES}
    assert Counter(usage_at_end["kinds"]) <= Counter(usage_midway["kinds"])
    assert usage_at_end["tasks"] <= usage_midway["tasks"] + 10
    assert usage_at_end["descriptors"] <= usage_midway["descriptors"] + 10
    assert new_objects < 2000


@pytest.mark.parametrize("status", [200, 500])
async def test_shutdown_cancels_running_reload(tmp_path: Path, status: int) -> None:
    async with run_exporter(tmp_path) as exporter:
        exporter.write_config(CONFIG_A.to_yaml(exporter.coder) + (INVALID_YAML if status == 500 else ""))
        reloads = [asyncio.create_task(exporter.application.reload()) for _ in range(3)]
        await asyncio.sleep(0)
    await asyncio.gather(*reloads, return_exceptions=True)

    assert all(reload.done() for reload in reloads)


async def test_reload_with_equal_secret_files_serves_last_data_while_coder_is_down(tmp_path: Path) -> None:
    """Secrets that were read again belong to the same account, so the collected data stays."""
    async with run_exporter(tmp_path) as exporter:
        exporter.deployment.faults.inject("*", Status(status=503))
        exporter.write_config(CONFIG_A.to_yaml(exporter.coder))

        assert await exporter.reload() == 200

        interval, reported, series, names = page_fingerprint(await exporter.scrape(exporter.session))
        assert (interval, reported, series) == (CONFIG_A.interval, CONFIG_A.limit, CONFIG_A.limit)
        assert names


async def test_reload_with_another_account_starts_without_data(tmp_path: Path) -> None:
    async with run_exporter(tmp_path) as exporter:
        exporter.deployment.faults.inject("*", Status(status=503))
        (tmp_path / "other-token").write_text(DEMO_TOKEN)
        exporter.write_config(
            CONFIG_A.to_yaml(exporter.coder).replace("token_file: token", "token_file: other-token")
        )

        assert await exporter.reload() == 200
        assert LIMITED_FAMILY + "{" not in await exporter.scrape(exporter.session)
