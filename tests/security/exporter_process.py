"""The exporter as a process, and everything that is visible of it."""

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

from tests.support.waiting import wait_until

__all__ = ["PATHS", "ExporterProcess", "run_command", "start_exporter"]

TIMEOUT = 60.0
PATHS = ("/metrics", "/metrics?collect[]=insights", "/", "/config", "/-/healthy", "/-/ready", "/nothing")
"""Every path of the server, and one that does not exist."""


@dataclass
class ExporterProcess:
    """A running process; ``log_lines`` contains its output so far."""

    process: Process
    session: aiohttp.ClientSession
    log_lines: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        """The output of the process."""
        return "".join(self.log_lines)

    @property
    def url(self) -> str:
        """The URL of the server; empty before it listens."""
        match = re.search(r"address=(https?://\S+)", self.output)
        return match[1] if match else ""

    async def get(self, path: str, **headers: str) -> str:
        """Return a response with its headers as text."""
        async with self.session.get(self.url + path, headers=headers) as response:
            return f"{response.status}\n{response.raw_headers!r}\n{await response.text()}"

    async def reload(self) -> str:
        """Reload the configuration and return the response."""
        async with self.session.post(self.url + "/-/reload") as response:
            return f"{response.status} {await response.text()}"

    async def wait_until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the condition is true; fail with the log when the process exits."""

        async def is_true() -> bool:
            assert self.process.returncode is None, self.output
            return await condition()

        await wait_until(is_true, timeout=TIMEOUT, describe=lambda: self.output)

    async def wait_for_log(self, text: str) -> None:
        """Wait until the log contains a text."""

        async def is_logged() -> bool:
            return text in self.output

        await self.wait_until(is_logged)

    async def surfaces(self, **headers: str) -> dict[str, str]:
        """Return the response of each path, and what the operating system shows of the process."""
        contents = {path: await self.get(path, **headers) for path in PATHS}
        contents["openmetrics"] = await self.get("/metrics", Accept="application/openmetrics-text", **headers)
        title = await asyncio.to_thread(Path(f"/proc/{self.process.pid}/cmdline").read_bytes)
        return {**contents, "process title": title.decode(), "log": self.output}

    async def stop(self) -> None:
        """Terminate the process as a service manager does, and require exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(TIMEOUT):
            assert await self.process.wait() == 0, self.output


@asynccontextmanager
async def start_exporter(
    *arguments: str, env: Mapping[str, str] | None = None, **session_options: object
) -> AsyncIterator[ExporterProcess]:
    """Run a command within the context and collect its output; the options are those of the HTTP client."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "insights_exporter", *arguments,
        stdout=PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **(env or {})},
    )  # fmt: skip
    async with aiohttp.ClientSession(**session_options) as client:  # type: ignore[arg-type]  # Options of ClientSession.
        exporter = ExporterProcess(process, client)

        async def read_output() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                exporter.log_lines.append(line.decode())

        reader_task = asyncio.create_task(read_output())
        try:
            yield exporter
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reader_task


async def run_command(*arguments: str) -> str:
    """Run a command and return its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "insights_exporter", *arguments, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(TIMEOUT):
        out, _ = await process.communicate()
    return out.decode()
