"""A process that reads agent reports and serves metrics.

Usage: ``python -m benchmarks.agent_stats_process DSN SINCE``. It prints its port. For each line of input it
reads once and prints the measurements as JSON.
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

from benchmarks.workload import USERNAME_POLICY, workload_snapshot
from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres.reader import create_postgres_collector
from insights_exporter.clock import SystemClock
from insights_exporter.config.settings import AgentStatsSettings, AgentStatsSource, LimitSettings
from insights_exporter.interpreter_tuning import tune_gc_and_gil
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.privacy import Filters
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.server import AppContext, HtmlPage, create_app
from insights_exporter.snapshot import AgentStats, Timestamped

__all__ = ["main"]


async def _serve(dsn: str, since: datetime, folder: Path) -> None:
    telemetry = SelfMetrics(poll_interval=300)
    exposition = Exposition(username_policy=USERNAME_POLICY, limits=LimitSettings(), telemetry=telemetry)
    snapshot = workload_snapshot(10_000)

    async def publish(reading: Timestamped[AgentStats]) -> None:
        await exposition.publish(replace(snapshot, agent_stats=reading))

    async def landing_page() -> HtmlPage:
        return HtmlPage(b"", "default-src 'none'")

    accumulator = Accumulator(USERNAME_POLICY, Filters())
    accumulator.reset(since, identity="99999999-0000-4000-8000-000000000001", cursor=since.isoformat())
    collector = create_postgres_collector(
        AgentStatsSettings(
            source=AgentStatsSource.POSTGRES,
            dsn=LiteralSecret(Secret(dsn)),
            statement_timeout=600.0,
            state_file=folder / "state",
        ),
        accumulator,
        max_staleness=1800.0,
        clock=SystemClock(),
        random=Random(),
        telemetry=telemetry,
        on_update=publish,
    )
    site = AppContext(
        exposition=exposition,
        self_metrics=telemetry.encode,
        telemetry=telemetry,
        not_ready_reason=lambda: "",
        landing_page=landing_page,
        config=lambda: "",
    )
    await exposition.publish(snapshot)
    tune_gc_and_gil()
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(create_app(lambda: site), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _write_json(runner.addresses[0][1])
        while await asyncio.to_thread(sys.stdin.readline):
            started, cpu_before = time.perf_counter(), time.process_time()
            if not await collector.read_once():
                raise SystemExit(collector.failure_reason)
            observation_count = sum(
                sum(histogram.buckets) for histogram in accumulator.committed.app_latency.values()
            )
            _write_json(
                {
                    "seconds": time.perf_counter() - started,
                    "cpu": time.process_time() - cpu_before,
                    "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    "observed": observation_count,
                }
            )
        collector.close()
        await asyncio.sleep(0)


def _write_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the process with the arguments of the command line."""
    dsn, since = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_serve(dsn, datetime.fromisoformat(since).astimezone(UTC), Path(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
