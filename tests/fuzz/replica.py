"""An exporter process of the fuzz test, and the judgement of every page that it serves."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import aiohttp
import yaml

from insights_exporter.config.settings import PollSettings
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Format
from tests.support.counter_judge import CounterJudge
from tests.support.exposition_parsing import parse_families, promtool_check

__all__ = ["EVERYTHING", "Page", "ProcessKilledError", "Replica", "SeriesKey"]

TIMEOUT = 120.0
"""Seconds, as the machine may be busy."""

MAX_POLL_SECONDS = 55.0
"""Simulated seconds of a poll that runs within one round."""

EVERYTHING = ""
"""The scope of a fault that affects the data of all templates."""

AGENTS = "agent metrics"
"""The scope of a fault that affects agent statistics only."""

SeriesKey = tuple[str, tuple[tuple[str, str], ...]]
"""Sample name and labels."""

_AGENT_PREFIXES = tuple(family.name.removesuffix("_total") for family in catalogue.AGENT_STATS_FAMILIES)
_INSIGHTS_PREFIXES = tuple(family.name.removesuffix("_total") for family in catalogue.INSIGHTS_FAMILIES)
_ROOT = Path(__file__).parents[2]
_EOF = b"# EOF\n"
_FAMILY_START = re.compile(rb"^(?=# HELP )", re.MULTILINE)
_SAMPLE_EVERY = 100
_STALENESS = timedelta(seconds=PollSettings().max_staleness)


class ProcessKilledError(Exception):
    """The process was killed."""


@dataclass(frozen=True)
class Page:
    """The counters and the other samples of a page."""

    counters: Mapping[SeriesKey, float]
    gauges: Mapping[SeriesKey, float]

    @classmethod
    def parse(cls, body: bytes) -> Page:
        """Parse an OpenMetrics page; raise ValueError if it is invalid."""
        if not body.endswith(_EOF):
            raise ValueError("the page has no end")
        counters: dict[SeriesKey, float] = {}
        gauges: dict[SeriesKey, float] = {}
        names = set()
        for block in _FAMILY_START.split(body.removesuffix(_EOF))[1:]:
            name, block_counters, block_gauges = _parse_family(block)
            if name in names:
                raise ValueError(f"two families {name}")
            names.add(name)
            counters |= block_counters
            gauges |= block_gauges
        return cls(counters, gauges)

    def insights_counters(self) -> dict[SeriesKey, float]:
        """Return the totals of Template Insights."""
        return {key: value for key, value in self.counters.items() if is_insights(key)}


@lru_cache(maxsize=2048)
def _parse_family(block: bytes) -> tuple[str, dict[SeriesKey, float], dict[SeriesKey, float]]:
    """Return the name, the counters and the other samples of a family.

    The strict parser is slow, and most families are the same on consecutive pages, so results are cached.
    """
    (family,) = parse_families(block + _EOF, Format.OPENMETRICS)
    samples: dict[SeriesKey, float] = {}
    for sample in family.samples:
        key = sample.name, tuple(sorted(sample.labels.items()))
        if key in samples:
            raise ValueError(f"duplicate sample {key}")
        if not sample.name.endswith("_created"):
            samples[key] = sample.value
    is_counter = family.type in {"counter", "histogram"}
    return (family.name, samples, {}) if is_counter else (family.name, {}, samples)


def is_insights(key: SeriesKey) -> bool:
    """Return whether a sample belongs to the insights collector."""
    return key[0].startswith(_INSIGHTS_PREFIXES) and not is_agent_stats(key)


def is_agent_stats(key: SeriesKey) -> bool:
    """Return whether a sample belongs to the agent statistics."""
    return key[0].startswith(_AGENT_PREFIXES)


@dataclass
class Replica:
    """One exporter with its state file; ``start`` may be called again after a kill.

    ``canonical`` replaces usernames by what identifies the user. ``secrets`` must never appear in a response
    or in the log. ``report`` takes findings. ``now`` is the simulated time.
    """

    name: str
    folder: Path
    config: Mapping[str, object]
    now: Callable[[], datetime]
    canonical: Callable[[str, str], str]
    report: Callable[[str], None]
    is_disabled: Callable[[], bool]
    secrets: tuple[str, ...]
    all_scopes: frozenset[str]
    clean_at: dict[str, datetime] = field(default_factory=dict)
    """When the data of each scope was last polled without a fault."""
    dirty: set[str] = field(default_factory=set)
    """The scopes with a fault since the last finished poll."""
    clean_polls: int = 0
    """Consecutive polls without any fault."""
    has_polled: bool = False
    """Whether a poll finished in this round."""
    pages: int = 0
    starts: int = 0
    page: Page = field(default_factory=lambda: Page({}, {}))
    _idle_page: Page = field(default_factory=lambda: Page({}, {}))
    _judge: CounterJudge[SeriesKey] = field(default_factory=CounterJudge)
    _reported_errors: set[tuple[int, str]] = field(default_factory=set)
    _process: Process | None = None
    _session: aiohttp.ClientSession | None = None
    _url: str = ""
    _polls: float = 0.0

    async def start(self) -> None:
        """Start the process and wait for its first poll."""
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "exporter.yaml"
        config.write_text(yaml.safe_dump(dict(self.config)))
        self.starts += 1
        self._polls = 0.0
        self.clean_polls = 0
        self.clean_at.clear()
        restored = {key: value for key, value in self._idle_page.counters.items() if is_agent_stats(key)}
        self._judge = CounterJudge(restored)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.fuzz.exporter_process", str(config), self.now().isoformat(),
                stdin=PIPE, stdout=PIPE, stderr=log, cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'src'}"},
            )  # fmt: skip
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        self._url = (await self._read_line()).removeprefix("address ")
        await self._wait_until_idle()

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    async def advance(self) -> None:
        """Let the process run what is due at the current time, and judge its page."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{self.now().isoformat()}\n".encode())
            await self._process.stdin.drain()
        except ConnectionError:
            await self._close()
            raise ProcessKilledError from None
        await self._wait_until_idle()

    def kill(self) -> None:
        """Kill the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End the process regularly."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(TIMEOUT):
            if await self._process.wait() != 0:
                self.report(f"{self.name}: the process ended with {self._process.returncode}")
        await self._close()

    async def _close(self) -> None:
        if self._process is not None:
            self.kill()
            await self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
        if self._session is not None:
            await self._session.close()
            self._session = None
        log = self._log.read_text(errors="replace")
        self._check_secrets("the log", log)
        if "Traceback" in log and not self._reported_errors:
            self._reported_errors.add((self.starts, ""))
            self.report(f"{self.name}: unexpected exception: {log[log.index('Traceback') :][:3000]}")

    async def _read_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            line = (await self._process.stdout.readline()).decode().strip()
        if line:
            return line
        code = await self._process.wait()
        await self._close()
        if code != -signal.SIGKILL:
            raise RuntimeError(f"{self.name}: the process ended with {code}: {self.log_tail()}")
        raise ProcessKilledError

    async def _wait_until_idle(self) -> None:
        await self._read_line()
        self.page = self._idle_page = await self.judge_page()
        polls = sum(value for (name, _), value in self.page.counters.items() if name.endswith("_polls_total"))
        self.has_polled = polls > self._polls
        if self.has_polled:
            # A fault can delay its poll beyond this round; `dirty` belongs to the finished poll.
            self._polls = polls
            # A poll that waited for the rate limit contains data of an earlier round.
            has_waited = self.page.gauges.get((catalogue.POLL_DURATION.name, ()), 0) >= MAX_POLL_SECONDS
            self.clean_polls = 0 if self.dirty or has_waited else self.clean_polls + 1
            if EVERYTHING not in self.dirty:
                self.clean_at.update(dict.fromkeys(self.all_scopes - self.dirty, self.now()))
            self.dirty.clear()

    # Judgement

    async def judge_page(self) -> Page:
        """Request the page and the health check, and report every broken promise."""
        self.pages += 1
        health = await self._get("/-/healthy")
        body = await self._get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        if self.pages % _SAMPLE_EVERY == 1:
            await self._judge_sample()
        if not health or not body:
            return self.page
        try:
            page = Page.parse(body)
        except Exception as error:  # noqa: BLE001 # The parser raises various errors.
            self.report(f"{self.name}: the page does not parse: {error}")
            return self.page
        counters: dict[SeriesKey, float] = {}
        for key, value in page.counters.items():
            canonical_key = self._canonical_key(key)
            if canonical_key in counters:
                self.report(f"{self.name}: two series for one user: {key}")
            counters[canonical_key] = value
        for problem in self._judge.check(counters, may_vanish=self._may_vanish):
            self.report(f"{self.name}: {problem}")
        self._check_unexpected_errors(counters)
        return Page(counters, page.gauges)

    def _check_unexpected_errors(self, counters: Mapping[SeriesKey, float]) -> None:
        """Report exceptions that the exporter did not expect, once for each collector and process."""
        for (name, labels), value in counters.items():
            collector = dict(labels).get("collector", "")
            is_unexpected = name == catalogue.COLLECTOR_ERRORS.name and ("reason", "internal") in labels
            if is_unexpected and value and (self.starts, collector) not in self._reported_errors:
                self._reported_errors.add((self.starts, collector))
                self.report(f"{self.name}: unexpected exception in collector {collector}: {self.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of the process's log."""
        return self._log.read_text(errors="replace")[-2000:]

    async def _judge_sample(self) -> None:
        body = await self._get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        parse_families(body, Format.OPENMETRICS)
        text = await self._get("/metrics")
        # Without the program, the parser of prometheus_client remains.
        if text and shutil.which("promtool") and (problems := promtool_check(text)):
            self.report(f"{self.name}: promtool: {problems}")
        for path in ("/", "/config", "/-/ready"):
            await self._get(path, statuses=(200, 503))

    async def _get(self, path: str, *, statuses: tuple[int, ...] = (200,), **headers: str) -> bytes:
        assert self._session is not None
        try:
            async with self._session.get(self._url + path, headers=headers) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            if self._process is not None and self._process.returncode is None:
                # A kill during the request is no finding.
                await asyncio.sleep(0.05)
            if self._process is not None and self._process.returncode is None:
                self.report(f"{self.name}: no answer to {path}: {type(error).__name__}")
            return b""
        if response.status not in statuses:
            self.report(f"{self.name}: {path} answered {response.status}")
            return b""
        self._check_secrets(path, body.decode(errors="replace"))
        return body

    def _check_secrets(self, where: str, text: str) -> None:
        if any(secret in text for secret in self.secrets):
            self.report(f"{self.name}: {where} contains a secret")

    def _canonical_key(self, key: SeriesKey) -> SeriesKey:
        return key[0], tuple(
            (label, self.canonical(self.name, value) if label == "username" else value)
            for label, value in key[1]
        )

    def _may_vanish(self, key: SeriesKey) -> bool:
        """Return whether the data behind a counter is too old, gone, or switched off."""
        if is_agent_stats(key):
            return self._is_stale(AGENTS)
        if not is_insights(key):
            return False
        template = dict(key[1]).get("template_name", EVERYTHING)
        return self.is_disabled() or self._is_stale(EVERYTHING) or self._is_stale(template)

    def _is_stale(self, scope: str) -> bool:
        clean_at = self.clean_at.get(scope)
        return clean_at is None or self.now() - clean_at > _STALENESS
