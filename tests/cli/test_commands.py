"""The command line in this process: flags, exit codes and output."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from insights_exporter import __version__, cli, commands
from insights_exporter import logging as exporter_logging
from insights_exporter.cli import main
from insights_exporter.config.settings import LogFormat, ServerSettings, Settings
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CODER_URL", "CODER_SESSION_TOKEN", "INSIGHTS_EXPORTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_logging, "configure", lambda *_, **__: None)


@pytest.fixture
def coder() -> Iterator[str]:
    """Serve a simulated deployment from another thread, because a command runs its own event loop."""
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
    assert errors[0].startswith(f"{file}:2: coder.url: expected an http(s) URL")
    assert errors[1].startswith(f"{file}:3: pol: expected one of")
    assert all(line.startswith(str(file)) for line in errors)


def test_config_path_from_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSIGHTS_EXPORTER_CONFIG", str(tmp_path / "none.yaml"))

    assert main(["run"]) == 2
    assert f"{tmp_path}/none.yaml: expected a readable YAML file" in capsys.readouterr().err


def test_demo_rejects_zero_users(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--users", "0"]) == 2
    assert "--users: expected at least 1, got 0" in capsys.readouterr().err


def test_check_prints_findings_and_severity(
    coder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["check", "--config", write_config(tmp_path, coder)])

    out = capsys.readouterr().out
    warnings = [line for line in out.splitlines() if line.startswith("warning ")]
    assert (code, len(warnings)) == (1, 1)
    assert warnings[0].startswith("warning  token expiry: The token expires at")
    assert f"ok       address: {coder} responds in" in out
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


def test_package_runs_as_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["insights-exporter", "--version"])

    with pytest.raises(SystemExit):
        runpy.run_module("insights_exporter", run_name="__main__")


def run_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Settings, dict[str, object]]:
    """Run `run` with a stub of the application; return its settings and options."""
    calls: list[tuple[Settings, dict[str, object]]] = []

    class StubApplication:
        def __init__(self, settings: Settings, **options: object) -> None:
            calls.append((settings, options))

        def install_signal_handlers(self, stop: asyncio.Event) -> None:
            """Ignore the event."""

        async def run(self, stop: asyncio.Event) -> None:
            """Return at once."""

    monkeypatch.setattr(commands, "Application", StubApplication)
    monkeypatch.setattr(commands, "tune_gc_and_gil", lambda: None)
    assert main(["run", *arguments]) == 0
    return calls[0]


def test_run_flags_override_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_config(tmp_path, "http://coder.test")
    Path(file).write_text(Path(file).read_text() + "server: {port: 1}\nlog: {level: error}\n")
    (tmp_path / "web.yml").write_text("{}")
    monkeypatch.setenv("INSIGHTS_EXPORTER_LOG_FORMAT", "text")
    settings, options = run_with(
        monkeypatch,
        f"--config.file={file}",
        "--web.listen-address=[::1]:9000",
        f"--web.config.file={tmp_path / 'web.yml'}",
        "--web.telemetry-path=/coder",
        "--log.level=warn",
        "--log.format=json",
    )

    assert (settings.server.host, settings.server.port) == ("::1", 9000)
    assert settings.server.web_config_file == tmp_path / "web.yml"
    assert (settings.log.level, settings.log.format) == ("warning", LogFormat.JSON)
    assert options["metrics_path"] == "/coder"


def test_run_without_flags_uses_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_config(tmp_path, "http://coder.test")
    settings, options = run_with(monkeypatch, "--config", file)

    assert settings.server == ServerSettings()
    assert options["metrics_path"] == "/metrics"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":9766", ("0.0.0.0", 9766)),  # noqa: S104  # Compared, not bound.
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_listen_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, expected: tuple[str, int]
) -> None:
    file = write_config(tmp_path, "http://coder.test")
    settings, _ = run_with(monkeypatch, "--config", file, "--web.listen-address", address)

    assert (settings.server.host, settings.server.port) == expected


@pytest.mark.parametrize(
    "flag",
    [
        "--web.listen-address=9766",
        "--web.listen-address=::1:9766",
        "--web.listen-address=:http",
        "--web.telemetry-path=metrics",
        "--web.telemetry-path=/",
        "--web.telemetry-path=/-/ready",
        "--web.telemetry-path=/{name}",
        "--log.level=loud",
        "--log.format=xml",
    ],
)
def test_invalid_flag_exits_with_2(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["run", flag])

    assert exit_info.value.code == 2
    assert flag.partition("=")[0] in capsys.readouterr().err


def test_invalid_value_of_a_flag_names_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_config(tmp_path, "http://coder.test")

    assert main(["run", "--config", file, "--web.listen-address", ":70000"]) == 2
    assert capsys.readouterr().err.startswith("--web.listen-address: server.port: expected")


def test_token_rotate_replaces_the_token_file(
    coder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_config(tmp_path, coder)

    assert main(["token", "rotate", "--config", file, "--dry-run"]) == 0
    assert (tmp_path / "token").read_text() == DEMO_TOKEN
    assert main(["token", "rotate", "--config", file, "--lifetime", "30d", "--revoke-delay", "0s"]) == 0

    new_token = (tmp_path / "token").read_text().strip()
    output = capsys.readouterr().out
    assert new_token != DEMO_TOKEN
    assert new_token not in output
    assert "for 30 days" in output
    assert main(["check", "--no-poll", "--config", file]) == 0


def test_token_rotate_of_unreachable_coder_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_config(tmp_path, "http://127.0.0.1:9")
    Path(file).write_text(Path(file).read_text() + "  retries: 0\n")

    assert main(["token", "rotate", "--config", file]) == 1
    assert capsys.readouterr().err.startswith("token rotation failed, the token is unchanged: ")
    assert (tmp_path / "token").read_text() == DEMO_TOKEN


@pytest.mark.parametrize(
    "arguments", [("--interval", "0"), ("--interval", "nan"), ("--port", "65536"), ("--coder-port", "-1")]
)
def test_invalid_demo_flags_exit_with_2(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", *arguments])

    assert f"argument {arguments[0]}: expected" in capsys.readouterr().err


ROOT = Path(__file__).parents[2]
DOCUMENTED_COMMANDS = sorted(
    {
        (page.relative_to(ROOT).as_posix(), match[1])
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for match in re.finditer(
            r"^ *(?:[$#] )?insights-exporter ([a-z].*[^\\\n])$",
            page.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }
)


@pytest.mark.parametrize(("page", "command"), DOCUMENTED_COMMANDS)
def test_documented_commands_parse(page: str, command: str) -> None:
    parser = cli.build_parser(with_bundle=True, with_backfill=True)

    assert parser.parse_args(shlex.split(command, comments=True)).run, page


@pytest.mark.parametrize(
    "arguments", [["run"], ["check"], ["token", "rotate"], ["report", "--month", "previous"]]
)
@pytest.mark.parametrize("option", ["--config", "--config.file"])
def test_commands_accept_both_names_of_the_configuration(arguments: list[str], option: str) -> None:
    parser = cli.build_parser(with_bundle=False, with_backfill=False)

    assert parser.parse_args([*arguments, option, "exporter.yaml"]).config == Path("exporter.yaml")
