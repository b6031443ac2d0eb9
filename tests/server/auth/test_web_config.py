"""Which web configuration files are accepted, and what is said of the others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from insights_exporter.errors import ConfigError
from insights_exporter.server.auth import WebConfigReloader
from insights_exporter.telemetry import NullTelemetry
from tests.server.auth.conftest import CONFIGS, WebConfigDir
from tests.support.clock import FakeClock

VALID_FILES = sorted(file.name for file in CONFIGS.glob("good/*.yml"))
INVALID_FILES = sorted(file.name for file in CONFIGS.glob("bad/*.yml"))


def open_reloader(path: Path) -> WebConfigReloader:
    return WebConfigReloader(path, telemetry=NullTelemetry(), clock=FakeClock())


@pytest.mark.parametrize("name", VALID_FILES)
def test_valid_file_is_accepted(web_config_dir: WebConfigDir, name: str) -> None:
    reloader = open_reloader(web_config_dir.path / name)

    assert reloader.uses_tls == ("cert_file" in (web_config_dir.path / name).read_text())


@pytest.mark.parametrize("name", INVALID_FILES)
def test_invalid_file_is_rejected_with_the_reason_in_its_first_line(
    web_config_dir: WebConfigDir, name: str
) -> None:
    file = web_config_dir.path / name
    reason = file.read_text().splitlines()[0].removeprefix("# ")

    with pytest.raises(ConfigError, match=re.escape(reason)):
        open_reloader(file)


@pytest.mark.parametrize(
    "name", [name for name in VALID_FILES + INVALID_FILES if not name.startswith(("newer-", "stricter-"))]
)
def test_promtool_agrees(web_config_dir: WebConfigDir, name: str) -> None:
    """Names that begin with newer- are of a later format, those with stricter- ask for what Python lacks."""
    completed = subprocess.run(
        ["promtool", "check", "web-config", name],
        cwd=web_config_dir.path,
        check=False,
        capture_output=True,
        timeout=30,
    )

    assert (name in VALID_FILES) == (completed.returncode == 0), completed.stderr


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_users:\n  ada: hunter2\nrate_limit:\n  interval: often\n")

    with pytest.raises(ConfigError) as caught:
        open_reloader(file)

    assert [f"{file}:2:", f"{file}:4:"] == [line.split(" ")[0] for line in str(caught.value).splitlines()]


def test_problems_never_show_a_password(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_users:\n  ada: hunter2\n")

    with pytest.raises(ConfigError) as caught:
        open_reloader(file)

    assert "hunter2" not in str(caught.value)
