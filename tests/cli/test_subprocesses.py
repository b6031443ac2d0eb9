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
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size

WAIT = 30.0


@dataclass
class Program:
    """A program that runs, and the lines that it wrote."""

    process: Process
    session: ClientSession
    output: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    async def fetch(self, address: str) -> str:
        """Return a page; nothing where nobody answers."""
        try:
            async with self.session.get(address) as response:
                return await response.text()
        except ClientError:
            return ""

    async def wait_until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT):
            while not await condition():
                await asyncio.sleep(0.02)

    async def stop(self, signum: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(signum)
        async with asyncio.timeout(WAIT):
            return await self.process.wait()


@asynccontextmanager
async def start_program(*arguments: str) -> AsyncIterator[Program]:
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


async def test_demo_prints_urls_and_stops_on_sigterm() -> None:
    async with start_program(
        "demo", "--port", "0", "--coder-port", "0", "--templates", "3", "--users", "8"
    ) as demo:

        async def ready() -> bool:
            page = demo.output.get("Landing page")
            return page is not None and await demo.fetch(f"{page}-/ready") == "Ready.\n"

        await demo.wait_until(ready)
        page = await demo.fetch(demo.output["Landing page"])
        metrics = await demo.fetch(demo.output["Metrics"])
        code = await demo.stop(signal.SIGTERM)

    assert code == 0
    assert "Daily active users" in page
    assert catalogue.TEMPLATE_ACTIVE_USERS.name in metrics
    assert all(DEMO_TOKEN not in line for line in demo.log)


async def test_simulate_prints_url_and_token() -> None:
    async with start_program("simulate", "--port", "0", "--templates", "1", "--users", "2") as simulator:

        async def token_printed() -> bool:
            return "Session token" in simulator.output

        await simulator.wait_until(token_printed)
        headers = {"Coder-Session-Token": simulator.output["Session token"]}
        address = simulator.output["Simulated Coder"] + "/api/v2/users/me"
        async with simulator.session.get(address, headers=headers) as response:
            status = response.status
        code = await simulator.stop(signal.SIGTERM)

    assert status == 200
    assert code == 0


async def test_run_reloads_on_sighup_and_keeps_last_valid_config(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    (tmp_path / "token").write_text(DEMO_TOKEN)

    async with serve(demo_deployment(Size(templates=1, users=3))) as url:

        def write(extra_yaml: str) -> None:
            file.write_text(f"coder: {{url: '{url}', token_file: token}}\nserver: {{port: 0}}\n{extra_yaml}")

        write("")
        async with start_program("run", "--config", str(file)) as exporter:

            async def poll_finished() -> bool:
                return any("Poll finished." in line for line in exporter.log)

            await exporter.wait_until(poll_finished)
            address = (
                next(line for line in exporter.log if "Listening." in line).partition("address=")[2].strip()
            )

            async def shows(text: str) -> bool:
                return text in await exporter.fetch(f"{address}/metrics") + await exporter.fetch(
                    f"{address}/config"
                )

            write("insights: {windows: [9d]}\n")
            exporter.process.send_signal(signal.SIGHUP)
            await exporter.wait_until(lambda: shows('window="9d"'))

            write("insights: {windows: [never]}\n")
            exporter.process.send_signal(signal.SIGHUP)
            await exporter.wait_until(lambda: shows(f"{catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL.name} 0.0"))

            assert await shows('window="9d"')
            assert any("insights.windows: expected" in line for line in exporter.log)
            assert await exporter.stop(signal.SIGINT) == 0
