"""The command line as a subprocess."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientSession

__all__ = ["Program", "start_program"]

TIMEOUT = 30.0


@dataclass
class Program:
    """A running command: lines `name: value` of its standard output, and its standard error."""

    process: Process
    session: ClientSession
    output: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    async def fetch(self, address: str) -> str:
        """Return a page, or an empty text without a server."""
        try:
            async with self.session.get(address) as response:
                return await response.text()
        except ClientError:
            return ""

    async def stop(self, signum: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(signum)
        async with asyncio.timeout(TIMEOUT):
            return await self.process.wait()


@asynccontextmanager
async def start_program(*arguments: str) -> AsyncIterator[Program]:
    """Start the command and read its output; kill it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "insights_exporter", *arguments, stdout=PIPE, stderr=PIPE
    )
    async with ClientSession() as session:
        program = Program(process, session)

        async def read_output() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                name, _, value = line.decode().partition(": ")
                program.output[name.strip()] = value.strip()

        async def read_log() -> None:
            assert process.stderr is not None
            async for line in process.stderr:
                program.log.append(line.decode())

        reading = asyncio.gather(read_output(), read_log())
        try:
            yield program
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading
