"""The commands as subprocesses: output, signals and imports."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from insights_exporter.metrics import catalogue
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.program import start_program
from tests.support.waiting import wait_until


async def test_demo_prints_urls_and_stops_on_sigterm() -> None:
    async with start_program(
        "demo", "--port", "0", "--coder-port", "0", "--templates", "3", "--users", "8"
    ) as demo:

        async def ready() -> bool:
            page = demo.output.get("Landing page")
            return page is not None and await demo.fetch(f"{page}-/ready") == "Ready.\n"

        await wait_until(ready)
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

        await wait_until(token_printed)
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
                return any("poll finished" in line for line in exporter.log)

            await wait_until(poll_finished)
            address = (
                next(line for line in exporter.log if "server started" in line)
                .partition("address=")[2]
                .strip()
            )

            async def shows(text: str) -> bool:
                return text in await exporter.fetch(f"{address}/metrics") + await exporter.fetch(
                    f"{address}/config"
                )

            write("insights: {windows: [9d]}\n")
            exporter.process.send_signal(signal.SIGHUP)
            await wait_until(lambda: shows('window="9d"'))

            write("insights: {windows: [never]}\n")
            exporter.process.send_signal(signal.SIGHUP)
            await wait_until(lambda: shows(f"{catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL.name} 0.0"))

            assert await shows('window="9d"')
            assert any("insights.windows: expected" in line for line in exporter.log)
            assert await exporter.stop(signal.SIGINT) == 0


def test_run_and_check_load_no_simulator() -> None:
    script = (
        "import sys; from insights_exporter import cli, commands; "
        "print([name for name in sys.modules if name.startswith("
        "('insights_exporter.simulator', 'insights_exporter.demo', 'insights_exporter.bundle'))])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
