"""Deeply nested files and exponential aliases end with one line, and a reload of them changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from insights_exporter.app.application import Application
from insights_exporter.cli import main
from insights_exporter.config.loading import load
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder.text import Format

MINIMAL = "coder: {url: 'https://coder.example.com', token: token}\n"
HOSTILE = {
    "nested lists": "poll: " + 5000 * "[",
    "nested mappings": "poll: " + 5000 * "{a: ",
    "nested blocks": "\n".join(f"{' ' * depth}a:" for depth in range(500)),
    "exponential aliases": "x0: &x0 [a]\n"
    + "\n".join(f"x{n}: &x{n} [{', '.join(10 * [f'*x{n - 1}'])}]" for n in range(1, 20)),
    "exponential merges": "x0: &x0 {a: b}\n"
    + "\n".join(f"x{n}: &x{n} {{<<: [{', '.join(10 * [f'*x{n - 1}'])}], k{n}: v}}" for n in range(1, 20)),
    "recursive alias": "x: &x [*x]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_run_exits_with_one_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(text)

    assert main(["run", "--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()[0]) < 300
    assert error.startswith(f"{file}:")
    assert "Traceback" not in error


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_a_reload_reports_failure(text: str, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(MINIMAL)
    application = Application(load(file, {}), load=lambda: load(file, {}))
    file.write_text(MINIMAL + text)

    with pytest.raises(ConfigError, match=r"exporter\.yaml:\d+: "):
        await application.reload()

    metrics = application.self_metrics.encode(Format.OPENMETRICS).decode()
    application.self_metrics.shutdown()
    assert "\ncoder_insights_exporter_config_last_reload_successful 0" in metrics
