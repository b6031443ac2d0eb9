"""The command line, in this process."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from insights_exporter import __version__
from insights_exporter import logging as exporter_logging
from insights_exporter.cli import main
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from tools import docs


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CODER_URL", "CODER_SESSION_TOKEN", "INSIGHTS_EXPORTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_logging, "configure", lambda *_, **__: None)


@pytest.fixture
def coder() -> Iterator[str]:
    """Serve a deployment from another thread: a command brings its own loop."""
    urls: list[str] = []
    started, stopped = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve_until_stopped() -> None:
        loops.append(asyncio.get_running_loop())
        async with serve(demo_deployment(Size(templates=2, users=6))) as url:
            urls.append(url)
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve_until_stopped()))
    thread.start()
    assert started.wait(20)
    yield urls[0]
    loops[0].call_soon_threadsafe(stopped.set)
    thread.join()


def write_config(folder: Path, url: str) -> str:
    (folder / "token").write_text(DEMO_TOKEN)
    file = folder / "exporter.yaml"
    file.write_text(f"coder:\n  url: {url}\n  token_file: token\n")
    return str(file)


def test_version_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])

    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"insights_exporter {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run", "--nonsense"], ["demo", "--port", "x"]])
def test_invalid_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)

    assert exit_info.value.code == 2
    assert "usage: insights-exporter" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "check"])
def test_invalid_config_exits_with_2_and_lists_all_problems(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("coder:\n  url: nonsense\npol:\n  interval: 1\n")

    assert main([command, "--config", str(file)]) == 2

    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert errors[0].startswith(f"{file}:3: pol: expected one of")
    assert all(line.startswith(str(file)) for line in errors)


def test_config_path_from_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSIGHTS_EXPORTER_CONFIG", str(tmp_path / "none.yaml"))

    assert main(["run"]) == 2
    assert f"{tmp_path}/none.yaml: expected a readable YAML file" in capsys.readouterr().err


def test_demo_rejects_zero_users(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--users", "0"]) == 2
    assert "--templates, --users: expected at least 1 of each" in capsys.readouterr().err


def test_check_prints_findings_and_severity(
    coder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["check", "--config", write_config(tmp_path, coder)])

    out = capsys.readouterr().out
    assert code in {0, 1}
    assert f"ok       address: {coder} answers in" in out
    assert "series. The largest families:" in out
    assert "problem" not in out
    assert DEMO_TOKEN not in out


def test_check_writes_json(coder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", "--json", "--no-poll", "--config", write_config(tmp_path, coder)])

    document = json.loads(capsys.readouterr().out)
    assert document["result"] == ("ok", "warning", "problem")[code]
    assert "series" not in {finding["subject"] for finding in document["findings"]}


def test_check_of_unreachable_coder_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_config(tmp_path, "http://127.0.0.1:9")
    Path(file).write_text(Path(file).read_text() + "  retries: 0\n")

    assert main(["check", "--config", file]) == 2
    assert "problem  address: " in capsys.readouterr().out


def test_docs_writes_and_checks_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path)

    assert docs.main(["--check", "--folder", folder]) == 1
    assert docs.main(["--folder", folder]) == 0
    assert docs.main(["--check", "--folder", folder]) == 0
    assert (tmp_path / "metrics.md").read_text() == docs.metrics_page()
    assert "stale; run make generate" in capsys.readouterr().out


def test_the_package_can_be_run_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.setattr(sys, "argv", ["insights-exporter", "--version"])

    with pytest.raises(SystemExit):
        runpy.run_module("insights_exporter", run_name="__main__")
