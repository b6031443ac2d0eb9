"""The command line, in this process."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from insights_exporter import __version__, documentation, logs
from insights_exporter.cli import main
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CODER_URL", "CODER_SESSION_TOKEN", "INSIGHTS_EXPORTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)


@pytest.fixture
def coder() -> Iterator[str]:
    """Serve a deployment from another thread: a command brings its own loop."""
    found: list[str] = []
    begun, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def served() -> None:
        loops.append(asyncio.get_running_loop())
        async with serve(stage(Size(templates=2, users=6))) as url:
            found.append(url)
            begun.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(served()))
    thread.start()
    assert begun.wait(20)
    yield found[0]
    loops[0].call_soon_threadsafe(ended.set)
    thread.join()


def configured(folder: Path, url: str) -> str:
    (folder / "token").write_text(DEMO_TOKEN)
    file = folder / "exporter.yaml"
    file.write_text(f"coder:\n  url: {url}\n  token_file: token\n")
    return str(file)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"insights_exporter {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run", "--nonsense"], ["demo", "--port", "x"]])
def test_a_wrong_command_line_ends_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: insights-exporter" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_configuration_ends_with_two_and_every_fault(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("coder:\n  url: nonsense\npol:\n  interval: 1\n")

    assert main([command, "--config", str(file)]) == 2

    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert told[0].startswith(f"{file}:3: pol: expected one of")
    assert all(line.startswith(str(file)) for line in told)


def test_the_configuration_may_be_named_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSIGHTS_EXPORTER_CONFIG", str(tmp_path / "none.yaml"))

    assert main(["run"]) == 2
    assert f"{tmp_path}/none.yaml: expected a readable YAML file" in capsys.readouterr().err


def test_too_small_a_demo_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--users", "0"]) == 2
    assert "--templates, --users: expected at least 1 of each" in capsys.readouterr().err


def test_check_tells_what_it_finds_and_how_bad_it_is(
    coder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["check", "--config", configured(tmp_path, coder)])

    out = capsys.readouterr().out
    assert code in {0, 1}
    assert f"ok       address: {coder} answers in" in out
    assert "series. The largest families:" in out
    assert "problem" not in out
    assert DEMO_TOKEN not in out


def test_check_writes_json(coder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", "--json", "--no-poll", "--config", configured(tmp_path, coder)])

    document = json.loads(capsys.readouterr().out)
    assert document["result"] == ("ok", "warning", "problem")[code]
    assert "series" not in {one["subject"] for one in document["findings"]}


def test_check_of_a_coder_that_is_not_there_ends_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configured(tmp_path, "http://127.0.0.1:9")
    Path(file).write_text(Path(file).read_text() + "  retries: 0\n")

    assert main(["check", "--config", file]) == 2
    assert "problem  address: " in capsys.readouterr().out


def test_docs_are_written_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path)

    assert main(["docs", "--check", "--folder", folder]) == 1
    assert main(["docs", "--folder", folder]) == 0
    assert main(["docs", "--check", "--folder", folder]) == 0
    assert (tmp_path / "metrics.md").read_text() == documentation.metrics_page()
    assert "differs from the code" in capsys.readouterr().out


def test_the_package_can_be_run_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy  # noqa: PLC0415 - only here, and it runs what it imports.

    monkeypatch.setattr(sys, "argv", ["insights-exporter", "--version"])

    with pytest.raises(SystemExit):
        runpy.run_module("insights_exporter", run_name="__main__")
