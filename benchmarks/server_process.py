"""A process with one of the compared servers: ``python -m benchmarks.server_process SERVER SERIES``.

It prints its port, serves until its input ends, and prints its measurements as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from benchmarks.result_table import percentile
from benchmarks.workload import LIMITS, USERNAME_POLICY, family_samples, workload_snapshot
from insights_exporter.interpreter_tuning import tune_gc_and_gil
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.server import AppContext, HtmlPage, create_app
from insights_exporter.snapshot import Snapshot
from tests.support.prometheus_client_reference import reference_collector

__all__ = ["SERVERS", "main"]

_PROBE_INTERVAL: Final = 0.002


@dataclass(slots=True)
class _LoopMonitor:
    """Lag of the event loop in seconds, and the number of renderings."""

    lags: list[float] = field(default_factory=list)
    renders: int = 0

    async def measure_lag(self) -> None:
        """Measure the lag of short sleeps until cancelled."""
        while True:
            started = time.perf_counter()
            await asyncio.sleep(_PROBE_INTERVAL)
            self.lags.append(time.perf_counter() - started - _PROBE_INTERVAL)

    async def render(self, exposition: Exposition, snapshots: Sequence[Snapshot], pause: float) -> None:
        """Publish the snapshots in turns, since an unchanged snapshot would not be rendered."""
        for snapshot in cycle(snapshots):
            await asyncio.sleep(pause)
            await exposition.publish(snapshot)
            self.renders += 1

    def stats(self) -> dict[str, float]:
        """Return the measurements of the process."""
        return {
            "lag_max": max(self.lags, default=0.0),
            "lag_p99": percentile(self.lags or [0.0], 0.99),
            "renders": self.renders,
            "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


_ServerFactory = Callable[[int, _LoopMonitor], AbstractAsyncContextManager[web.Application]]


@asynccontextmanager
async def _exporter(
    series: int, monitor: _LoopMonitor, pause: float | None
) -> AsyncIterator[web.Application]:
    snapshots = [workload_snapshot(series, seed=seed) for seed in ((1, 2) if pause is not None else (1,))]
    self_metrics = SelfMetrics(poll_interval=300)
    exposition = Exposition(username_policy=USERNAME_POLICY, limits=LIMITS, telemetry=self_metrics)
    await exposition.publish(snapshots[0])

    async def landing_page() -> HtmlPage:
        return HtmlPage(b"", "default-src 'none'")

    site = AppContext(
        exposition=exposition,
        self_metrics=self_metrics.encode,
        telemetry=self_metrics,
        not_ready_reason=lambda: "",
        landing_page=landing_page,
        config=lambda: "",
    )
    monitor.lags.clear()
    rendering = (
        asyncio.create_task(monitor.render(exposition, snapshots[::-1], pause)) if pause is not None else None
    )
    yield create_app(lambda: site)
    if rendering is not None:
        rendering.cancel()


@asynccontextmanager
async def _constant(series: int, _: _LoopMonitor) -> AsyncIterator[web.Application]:
    exposition = Exposition(username_policy=USERNAME_POLICY, limits=LIMITS)
    await exposition.publish(workload_snapshot(series))
    body = exposition.body(Format.OPENMETRICS, gzip=True)
    headers = {"Content-Type": str(Format.OPENMETRICS), "Content-Encoding": "gzip"}

    async def metrics_handler(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_get("/metrics", metrics_handler)
    yield app


@asynccontextmanager
async def _prometheus_client(series: int, _: _LoopMonitor) -> AsyncIterator[web.Application]:
    samples, _count = family_samples(workload_snapshot(series))
    registry = CollectorRegistry()
    registry.register(reference_collector(samples, Format.OPENMETRICS))
    del samples
    app = web.Application()
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    yield app


SERVERS: Final[Mapping[str, _ServerFactory]] = {
    "constant": _constant,
    "idle": partial(_exporter, pause=None),
    "polling": partial(_exporter, pause=1.0),
    "busy": partial(_exporter, pause=0.0),
    "prometheus_client": _prometheus_client,
}
"""The servers: constant bytes, the idle exporter, the exporter with one rendering per second, with continuous
rendering, and prometheus_client's handler."""


async def _serve(name: str, series: int) -> dict[str, float]:
    monitor = _LoopMonitor()
    tune_gc_and_gil()
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(SERVERS[name](series, monitor))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        lag_task = asyncio.create_task(monitor.measure_lag())
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        lag_task.cancel()
    return monitor.stats()


def main() -> int:
    """Run the server of the command line."""
    name, series = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(_serve(name, int(series)))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
