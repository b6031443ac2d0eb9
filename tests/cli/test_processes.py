"""The commands as processes of their own: what they print, and how signals end or change them."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError, ClientSession

from insights_exporter.metrics import catalogue
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage

WAIT = 30.0


@dataclass
class Program:
    """A program that runs, and the lines that it wrote."""

    process: Process
    session: ClientSession
    printed: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    async def text(self, address: str) -> str:
        """Return a page; nothing where nobody answers."""
        try:
            async with self.session.get(address) as answer:
                return await answer.text()
        except ClientError:
            return ""

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT):
            while not await holds():  # noqa: ASYNC110 - what is waited for is another process.
                await asyncio.sleep(0.02)

    async def ended(self, by: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(by)
        async with asyncio.timeout(WAIT):
            return await self.process.wait()


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Program]:
    """Start the program and read what it writes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "insights_exporter", *arguments, stdout=PIPE, stderr=PIPE
    )
    async with ClientSession() as session:
        program = Program(process, session)

        async def read_output() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                name, _, value = line.decode().partition(": ")
                program.printed[name.strip()] = value.strip()

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


async def test_the_demo_says_where_to_look_and_stops_when_told() -> None:
    async with started(
        "demo", "--port", "0", "--coder-port", "0", "--templates", "3", "--users", "8"
    ) as demo:

        async def ready() -> bool:
            page = demo.printed.get("Landing page")
            return page is not None and await demo.text(f"{page}-/ready") == "Ready.\n"

        await demo.until(ready)
        page = await demo.text(demo.printed["Landing page"])
        metrics = await demo.text(demo.printed["Metrics"])
        code = await demo.ended(signal.SIGTERM)

    assert code == 0
    assert "Daily active users" in page
    assert catalogue.TEMPLATE_ACTIVE_USERS.name in metrics
    assert all(DEMO_TOKEN not in line for line in demo.log)


async def test_simulate_says_how_to_reach_it() -> None:
    async with started("simulate", "--port", "0", "--templates", "1", "--users", "2") as simulator:

        async def told() -> bool:
            return "Session token" in simulator.printed

        await simulator.until(told)
        headers = {"Coder-Session-Token": simulator.printed["Session token"]}
        address = simulator.printed["Simulated Coder"] + "/api/v2/users/me"
        async with simulator.session.get(address, headers=headers) as answer:
            status = answer.status
        code = await simulator.ended(signal.SIGTERM)

    assert status == 200
    assert code == 0


async def test_run_reads_its_file_anew_on_sighup_and_keeps_a_good_one(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    (tmp_path / "token").write_text(DEMO_TOKEN)

    async with serve(stage(Size(templates=1, users=3))) as url:

        def write(more: str) -> None:
            file.write_text(f"coder: {{url: '{url}', token_file: token}}\nserver: {{port: 0}}\n{more}")

        write("")
        async with started("run", "--config", str(file)) as exporter:

            async def polled() -> bool:
                return any("Poll finished." in line for line in exporter.log)

            await exporter.until(polled)
            address = (
                next(line for line in exporter.log if "Listening." in line).partition("address=")[2].strip()
            )

            async def shows(text: str) -> bool:
                return text in await exporter.text(f"{address}/metrics") + await exporter.text(
                    f"{address}/config"
                )

            write("insights: {windows: [9d]}\n")
            exporter.process.send_signal(signal.SIGHUP)
            await exporter.until(lambda: shows('window="9d"'))

            write("insights: {windows: [never]}\n")
            exporter.process.send_signal(signal.SIGHUP)
            await exporter.until(lambda: shows(f"{catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL.name} 0.0"))

            assert await shows('window="9d"')
            assert any("insights.windows: expected" in line for line in exporter.log)
            assert await exporter.ended(signal.SIGINT) == 0
