"""A server for one contender, in a process of its own: ``python -m benchmarks.serving CONTENDER SERIES``.

Writes its port as a line and serves until its input ends, then writes what it saw as JSON.
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

from benchmarks.table import percentile
from benchmarks.workload import LIMITS, REDACTION, catalogued, deployment
from insights_exporter.interpreter import settle
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.metrics.text import Format
from insights_exporter.server import Page, Site, application
from insights_exporter.snapshot import Snapshot
from tests.support.reference import reference

__all__ = ["CONTENDERS", "main"]

_PROBE: Final = 0.002


@dataclass(slots=True)
class _Loop:
    """How late the event loop was, in seconds, and how often pages were rendered."""

    lags: list[float] = field(default_factory=list)
    renders: int = 0

    async def watch(self) -> None:
        """Ask to be woken soon, again and again, and note how late that happens."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_PROBE)
            self.lags.append(time.perf_counter() - began - _PROBE)

    async def render(self, exposition: Exposition, snapshots: Sequence[Snapshot], rest: float) -> None:
        """Publish one after the other, again and again: what did not change would not be written anew."""
        for snapshot in cycle(snapshots):
            await asyncio.sleep(rest)
            await exposition.publish(snapshot)
            self.renders += 1

    def seen(self) -> dict[str, float]:
        """Return the figures of this process."""
        return {
            "lag_max": max(self.lags, default=0.0),
            "lag_p99": percentile(self.lags or [0.0], 0.99),
            "renders": self.renders,
            "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


_Contender = Callable[[int, _Loop], AbstractAsyncContextManager[web.Application]]


@asynccontextmanager
async def _exporter(series: int, loop: _Loop, rest: float | None) -> AsyncIterator[web.Application]:
    snapshots = [deployment(series, seed=seed) for seed in ((1, 2) if rest is not None else (1,))]
    own = SelfMetrics(poll_interval=300)
    exposition = Exposition(redaction=REDACTION, limits=LIMITS, telemetry=own)
    await exposition.publish(snapshots[0])

    async def landing() -> Page:
        return Page(b"", "default-src 'none'")

    site = Site(
        pages=exposition, tail=own, telemetry=own, unready=lambda: "", landing=landing, config=lambda: ""
    )
    loop.lags.clear()
    rendering = (
        asyncio.create_task(loop.render(exposition, snapshots[::-1], rest)) if rest is not None else None
    )
    yield application(lambda: site)
    if rendering is not None:
        rendering.cancel()


@asynccontextmanager
async def _constant(series: int, _: _Loop) -> AsyncIterator[web.Application]:
    exposition = Exposition(redaction=REDACTION, limits=LIMITS)
    await exposition.publish(deployment(series))
    body = exposition.page(Format.OPENMETRICS, gzip=True)
    headers = {"Content-Type": str(Format.OPENMETRICS), "Content-Encoding": "gzip"}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_get("/metrics", answer)
    yield app


@asynccontextmanager
async def _prometheus_client(series: int, _: _Loop) -> AsyncIterator[web.Application]:
    held, _count = catalogued(deployment(series))
    registry = CollectorRegistry()
    registry.register(reference(held, Format.OPENMETRICS))
    del held
    app = web.Application()
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    yield app


CONTENDERS: Final[Mapping[str, _Contender]] = {
    "constant": _constant,
    "idle": partial(_exporter, rest=None),
    "polling": partial(_exporter, rest=1.0),
    "busy": partial(_exporter, rest=0.0),
    "prometheus_client": _prometheus_client,
}
"""What can be served: constant bytes, this exporter at rest, rendering each second, rendering without a
break, and prometheus_client's handler."""


async def _serve(name: str, series: int) -> dict[str, float]:
    loop = _Loop()
    settle()
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(CONTENDERS[name](series, loop))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        watching = asyncio.create_task(loop.watch())
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        watching.cancel()
    return loop.seen()


def main() -> int:
    """Serve what the command line names."""
    name, series = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(_serve(name, int(series)))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
