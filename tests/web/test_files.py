"""Which web configuration files are accepted, and what is said of the others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from insights_exporter.errors import ConfigError
from insights_exporter.telemetry import SilentTelemetry
from insights_exporter.web import WebSource
from tests.support.clock import FakeClock
from tests.web.conftest import CONFIGS, Place

GOOD = sorted(file.name for file in CONFIGS.glob("good/*.yml"))
BAD = sorted(file.name for file in CONFIGS.glob("bad/*.yml"))


def opened(path: Path) -> WebSource:
    return WebSource(path, telemetry=SilentTelemetry(), clock=FakeClock())


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_accepted(place: Place, name: str) -> None:
    source = opened(place.folder / name)

    assert source.encrypted == ("cert_file" in (place.folder / name).read_text())


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_the_reason_in_its_first_line(place: Place, name: str) -> None:
    file = place.folder / name
    reason = file.read_text().splitlines()[0].removeprefix("# ")

    with pytest.raises(ConfigError, match=re.escape(reason)):
        opened(file)


@pytest.mark.parametrize(
    "name", [name for name in GOOD + BAD if not name.startswith(("newer-", "stricter-"))]
)
def test_promtool_thinks_the_same(place: Place, name: str) -> None:
    """Names that begin with newer- are of a later format, those with stricter- ask for what Python lacks."""
    done = subprocess.run(
        ["promtool", "check", "web-config", name],
        cwd=place.folder,
        check=False,
        capture_output=True,
        timeout=30,
    )

    assert (name in GOOD) == (done.returncode == 0), done.stderr


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_users:\n  ada: hunter2\nrate_limit:\n  interval: often\n")

    with pytest.raises(ConfigError) as caught:
        opened(file)

    assert [f"{file}:2:", f"{file}:4:"] == [line.split(" ")[0] for line in str(caught.value).splitlines()]


def test_no_problem_shows_a_password(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_users:\n  ada: hunter2\n")

    with pytest.raises(ConfigError) as caught:
        opened(file)

    assert "hunter2" not in str(caught.value)
