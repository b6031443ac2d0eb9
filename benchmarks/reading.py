"""An exporter that reads agent reports, in a process of its own: ``python -m benchmarks.reading DSN SINCE``.

Writes its port as a line. Then it reads once for each line of its input and writes what that took as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from aiohttp import web

from benchmarks.workload import REDACTION, deployment
from insights_exporter.clock import SystemClock
from insights_exporter.collectors.agent_stats import Ledger, PostgresCollector
from insights_exporter.filters import Filters
from insights_exporter.interpreter import settle
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.server import Page, Site, application
from insights_exporter.settings import AgentStatsSettings, AgentStatsSource, LimitSettings
from insights_exporter.snapshot import AgentStats, Reading

__all__ = ["main"]


async def _serve(dsn: str, since: datetime, folder: Path) -> None:
    telemetry = SelfMetrics(poll_interval=300)
    exposition = Exposition(redaction=REDACTION, limits=LimitSettings(), telemetry=telemetry)
    snapshot = deployment(10_000)

    async def publish(reading: Reading[AgentStats]) -> None:
        await exposition.publish(replace(snapshot, agent_stats=reading))

    async def landing() -> Page:
        return Page(b"", "default-src 'none'")

    ledger = Ledger(REDACTION, Filters())
    ledger.begin(since, identity="99999999-0000-4000-8000-000000000001", position=since.isoformat())
    collector = PostgresCollector(
        AgentStatsSettings(
            source=AgentStatsSource.POSTGRES,
            dsn=LiteralSecret(Secret(dsn)),
            statement_timeout=600.0,
            state_file=folder / "state",
        ),
        ledger,
        max_staleness=1800.0,
        clock=SystemClock(),
        random=Random(),
        telemetry=telemetry,
        changed=publish,
    )
    site = Site(
        pages=exposition,
        tail=telemetry,
        telemetry=telemetry,
        unready=lambda: "",
        landing=landing,
        config=lambda: "",
    )
    await exposition.publish(snapshot)
    settle()
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(application(lambda: site), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _say(runner.addresses[0][1])
        while await asyncio.to_thread(sys.stdin.readline):
            began, spent = time.perf_counter(), time.process_time()
            if not await collector.read_once():
                raise SystemExit(collector.failing)
            counted = sum(sum(one.buckets) for one in ledger.closed.app_latency.values())
            _say(
                {
                    "seconds": time.perf_counter() - began,
                    "cpu": time.process_time() - spent,
                    "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    "observed": counted,
                }
            )
        collector.close()
        await asyncio.sleep(0)


def _say(told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve what the command line names."""
    dsn, since = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_serve(dsn, datetime.fromisoformat(since).astimezone(UTC), Path(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
