"""The systemd units: verified by systemd, hardened, and with paths that fit together."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import Final

import pytest
import yaml

from tools.chart.paths import DEPLOY

_FOLDER: Final = DEPLOY / "systemd"
_SERVICES: Final = sorted(_FOLDER.glob("*.service"))
_PROGRAM: Final = "/opt/insights-exporter/bin/insights-exporter"
_EXPOSURE: Final = 2.0
"""The largest exposure level of `systemd-analyze security`; 10 is the worst."""


@pytest.fixture(name="units")
def _units(tmp_path: Path) -> list[Path]:
    """Return copies of the units whose program exists on this machine."""
    for path in (*_SERVICES, *_FOLDER.glob("*.timer")):
        text = path.read_text(encoding="utf-8").replace(_PROGRAM, "/bin/true")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    return sorted(tmp_path.iterdir())


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed.")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_systemd_accepts_the_units(units: list[Path]) -> None:
    done = _analyze("verify", *map(str, units))

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("service", [path.name for path in _SERVICES])
def test_services_are_hardened(units: list[Path], service: str) -> None:
    (path,) = (one for one in units if one.name == service)
    done = _analyze("security", "--offline=true", "--no-pager", str(path))
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)

    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) <= _EXPOSURE


@pytest.mark.parametrize("timer", sorted(_FOLDER.glob("*.timer")), ids=lambda path: path.stem)
def test_timers_have_a_service_and_a_valid_time(timer: Path) -> None:
    unit = _read(timer)
    done = _analyze("calendar", unit["Timer"]["OnCalendar"])

    assert timer.with_suffix(".service").is_file()
    assert done.returncode == 0, done.stderr


def test_paths_fit_together() -> None:
    """The token is where the rotation may write, and the configuration where the units read it."""
    config = yaml.safe_load((_FOLDER / "exporter.yaml").read_text(encoding="utf-8"))
    rotation = _read(_FOLDER / "insights-exporter-token-rotate.service")["Service"]
    state = Path("/var/lib") / rotation["StateDirectory"]

    assert Path(config["coder"]["token_file"]).parent == state
    for path in _SERVICES:
        service = _read(path)["Service"]
        assert "--config /etc/insights-exporter/exporter.yaml" in service["ExecStart"]
        assert service["User"] == service["Group"] == "insights-exporter"
        assert service["ProtectSystem"] == "strict"


def test_reports_are_written_to_a_folder_of_their_unit() -> None:
    service = _read(_FOLDER / "insights-exporter-report.service")["Service"]
    output = re.search(r"--output (\S+)", service["ExecStart"])

    assert output is not None
    assert str(Path(output[1]).relative_to("/var/lib")) in service["StateDirectory"].split()


def test_report_of_the_last_month_starts_when_the_month_is_over_in_every_time_zone() -> None:
    """The last day of a month ends at 12:00 UTC of the next day in the westernmost offset."""
    timer = _read(_FOLDER / "insights-exporter-report.timer")["Timer"]
    day, time, zone = timer["OnCalendar"].split()

    assert (day, time, zone) == ("*-*-02", "06:00:00", "UTC")
    assert "--month previous" in _read(_FOLDER / "insights-exporter-report.service")["Service"]["ExecStart"]


def test_users_and_folders_are_declared() -> None:
    users = (_FOLDER / "insights-exporter.sysusers.conf").read_text(encoding="utf-8")
    folders = (_FOLDER / "insights-exporter.tmpfiles.conf").read_text(encoding="utf-8")

    assert re.search(r"^u insights-exporter - ", users, re.MULTILINE)
    assert re.search(r"^d /etc/insights-exporter 0750 root insights-exporter", folders, re.MULTILINE)
    assert re.search(r"^d /var/lib/insights-exporter 0700 insights-exporter", folders, re.MULTILINE)


def _read(path: Path) -> RawConfigParser:
    # Repeated keys such as SystemCallFilter are legal in units.
    unit = RawConfigParser(strict=False, comment_prefixes=("#", ";"), delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path, encoding="utf-8")
    return unit
