"""The command `report`: arguments, exit codes and messages."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insights_exporter import logging as exporter_logging
from insights_exporter.cli import main
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import Status
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.simulator.generated_world import Size
from tests.report.report_harness import create_everything_at, deployment_of

Coder = tuple[SimulatedDeployment, str]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CODER_URL", "CODER_SESSION_TOKEN", "INSIGHTS_EXPORTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(exporter_logging, "configure", lambda *_, **__: None)


@pytest.fixture
def coder() -> Iterator[Coder]:
    """Serve a deployment from another thread, because a command runs its own event loop."""
    deployment = deployment_of(Size(templates=3, users=8))
    # The command reads the clock of the system.
    deployment.now = lambda: datetime.now(UTC)
    create_everything_at(deployment, datetime.now(UTC) - timedelta(days=100))
    urls: list[str] = []
    started, stopped = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve_until_stopped() -> None:
        loops.append(asyncio.get_running_loop())
        async with serve(deployment) as url:
            urls.append(url)
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve_until_stopped()))
    thread.start()
    assert started.wait(20)
    yield deployment, urls[0]
    loops[0].call_soon_threadsafe(stopped.set)
    thread.join()


@pytest.fixture
def config(coder: Coder, tmp_path: Path) -> str:
    return write_config(tmp_path, coder[1])


def write_config(folder: Path, url: str) -> str:
    token = folder / "token"
    token.write_text(DEMO_TOKEN)
    token.chmod(0o600)
    file = folder / "exporter.yaml"
    file.write_text(f"coder:\n  url: {url}\n  token_file: token\n  retries: 0\n")
    return str(file)


def test_report_is_written_and_named(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.html"
    title = f"{datetime.now(UTC).replace(day=1) - timedelta(days=1):%B %Y}"

    assert main(["report", "--config", config, "--month", "previous", "--output", str(file)]) == 0

    assert capsys.readouterr().out == f"{file}: report of {title}\n"
    assert f"<h1>{title}</h1>" in file.read_text()


def test_notes_go_to_standard_error(config: str, capfd: pytest.CaptureFixture[str]) -> None:
    first_day = (datetime.now(UTC) - timedelta(days=9)).date().isoformat()

    arguments = ["report", "--config", config, "--from", first_day, "--format", "json", "--output", "-"]
    assert main(arguments) == 0

    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["period"]["first_day"] == first_day
    assert not document["is_over"]
    assert err.startswith("The period is not over. The report covers ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --month --quarter --from is required"),
        (["--month", "2026-10", "--quarter", "2026-Q3"], "not allowed with argument --month"),
        (["--from", "yesterday"], 'argument --from: expected a day such as "2026-10-01", got "yesterday"'),
        (["--from", "0001-01-01"], 'argument --from: expected a day such as "2026-10-01", got "0001-01-01"'),
        (["--month", "2026-10", "--format", "pdf"], "argument --format: invalid choice: 'pdf'"),
    ],
)
def test_invalid_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["report", *arguments])

    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--month", "October"], '--month: expected a month such as "2026-10", or "previous", got "October"'),
        (["--month", "2099-01"], "--month: expected a period that has begun, got January 2099"),
        (["--month", "2020-01"], "--month: expected a period that ends on "),
        (["--month", "previous", "--output", "/none/x"], "--output: expected a writable folder, got /none"),
    ],
)
def test_invalid_period_or_output_exits_with_2(
    config: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--config", config, *arguments]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_failing_coder_exits_with_1_and_keeps_the_old_report(
    coder: Coder, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment, _ = coder
    deployment.faults.inject("/insights/user-latency", Status(status=500))
    file = tmp_path / "report.html"
    file.write_text("old")

    assert main(["report", "--config", config, "--month", "previous", "--output", str(file)]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("report failed: /insights/user-latency: HTTP 500")
    assert err.count("\n") == 1
    assert file.read_text() == "old"


def test_unreachable_coder_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9")

    assert main(["report", "--config", config, "--month", "previous", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("report failed: /buildinfo: ")


def test_token_appears_in_no_output(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["report", "--config", config, "--month", "previous", "--output"]
    main([*arguments, str(tmp_path / "report.html")])
    main([*arguments, str(tmp_path / "tables"), "--format", "csv"])
    outputs = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "token"]

    assert len(outputs) > 10
    assert not [text for text in (*outputs, *capsys.readouterr()) if DEMO_TOKEN in text]
