"""The exporter as a process, and everything that one can see of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

__all__ = ["Exporter", "run", "started"]

WAIT = 60.0
PATHS = ("/metrics", "/metrics?collect[]=insights", "/", "/config", "/-/healthy", "/-/ready", "/nothing")


@dataclass
class Exporter:
    """A process that runs; ``log`` holds all that it wrote so far."""

    process: Process
    session: aiohttp.ClientSession
    log: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """All that was written."""
        return "".join(self.log)

    @property
    def address(self) -> str:
        """Where it listens; empty before it does."""
        found = re.search(r"address=(https?://\S+)", self.said)
        return found[1] if found else ""

    async def get(self, path: str, **headers: str) -> str:
        """Return an answer with its headers."""
        async with self.session.get(self.address + path, headers=headers) as answer:
            return f"{answer.status}\n{answer.raw_headers!r}\n{await answer.text()}"

    async def reload(self) -> str:
        """Have the configuration read anew and return the answer."""
        async with self.session.post(self.address + "/-/reload") as answer:
            return f"{answer.status} {await answer.text()}"

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT):
            while not await holds():
                assert self.process.returncode is None, self.said
                await asyncio.sleep(0.02)

    async def until_said(self, text: str) -> None:
        """Wait until something stands in the log."""

        async def said() -> bool:
            return text in self.said

        await self.until(said)

    async def surfaces(self, **headers: str) -> dict[str, str]:
        """Return what each page says, and what the system shows of the process."""
        shown = {path: await self.get(path, **headers) for path in PATHS}
        shown["openmetrics"] = await self.get("/metrics", Accept="application/openmetrics-text", **headers)
        title = await asyncio.to_thread(Path(f"/proc/{self.process.pid}/cmdline").read_bytes)
        return {**shown, "process title": title.decode(), "log": self.said}

    async def stop(self) -> None:
        """Stop it as a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT):
            assert await self.process.wait() == 0, self.said


@asynccontextmanager
async def started(
    *arguments: str, env: Mapping[str, str] | None = None, **session: object
) -> AsyncIterator[Exporter]:
    """Run a command and read along what it writes; ``session`` tells how to talk to it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "insights_exporter", *arguments,
        stdout=PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **(env or {})},
    )  # fmt: skip
    async with aiohttp.ClientSession(**session) as client:  # type: ignore[arg-type]  # Its own parameters.
        exporter = Exporter(process, client)

        async def read() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                exporter.log.append(line.decode())

        reading = asyncio.create_task(read())
        try:
            yield exporter
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading


async def run(*arguments: str) -> str:
    """Run a command to its end and return all that it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "insights_exporter", *arguments, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(WAIT):
        out, _ = await process.communicate()
    return out.decode()
