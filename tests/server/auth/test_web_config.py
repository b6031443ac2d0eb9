"""Web configuration files: which are accepted, the errors of the others, and exporter-toolkit's opinion."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from functools import cache
from pathlib import Path

import pytest

from insights_exporter.errors import ConfigError
from insights_exporter.server.auth import WebConfigReloader, load_web_config
from insights_exporter.telemetry import Telemetry
from tests.server.auth.conftest import CONFIGS, WebConfigDir
from tests.support.clock import FakeClock

PROMTOOL = os.environ.get("PROMTOOL", "promtool")
SECURITY_PAGE = Path(__file__).parents[3] / "docs" / "security.md"
VALID_FILES = sorted(file.name for file in CONFIGS.glob("good/*.yml"))
INVALID_FILES = sorted(file.name for file in CONFIGS.glob("bad/*.yml"))
STRICTER_FILES = sorted(
    file.name
    for file in CONFIGS.glob("stricter/*.yml")
    if file.name != "two-curves.yml" or not hasattr(ssl.SSLContext, "set_groups")
)
"""Files that only exporter-toolkit accepts; line 1 is the error, line 2 the row in docs/security.md."""


def open_reloader(path: Path) -> WebConfigReloader:
    return WebConfigReloader(path, telemetry=Telemetry(), clock=FakeClock())


def comments(file: Path) -> list[str]:
    return [line.removeprefix("# ") for line in file.read_text().splitlines() if line.startswith("# ")]


@pytest.mark.parametrize("name", VALID_FILES)
def test_valid_file_is_accepted_and_certificates_turn_tls_on(web_config_dir: WebConfigDir, name: str) -> None:
    reloader = open_reloader(web_config_dir.path / name)

    assert reloader.uses_tls == ("cert_file" in (web_config_dir.path / name).read_text())


@pytest.mark.parametrize("name", INVALID_FILES + STRICTER_FILES)
def test_invalid_file_is_rejected_with_the_reason_in_its_first_line(
    web_config_dir: WebConfigDir, name: str
) -> None:
    file = web_config_dir.path / name

    with pytest.raises(ConfigError, match=re.escape(comments(file)[0])):
        open_reloader(file)


def promtool_accepts(folder: Path, name: str) -> bool:
    command = [PROMTOOL, "check", "web-config", name]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=30).returncode == 0


@cache
def promtool_is_current() -> bool:
    """Return whether promtool knows ``rate_limit``, inline certificates and ``client_allowed_sans``."""
    return promtool_accepts(CONFIGS / "good", "newer-rate.yml")


@pytest.mark.parametrize("name", VALID_FILES + INVALID_FILES + STRICTER_FILES)
def test_promtool_agrees(web_config_dir: WebConfigDir, name: str) -> None:
    """All but the invalid files pass promtool; ``newer-`` files need a current promtool."""
    if name.startswith("newer-") and not promtool_is_current():
        pytest.skip("This promtool is too old; set PROMTOOL to a newer one.")

    assert promtool_accepts(web_config_dir.path, name) == (name not in INVALID_FILES)


def test_documentation_lists_every_stricter_rule() -> None:
    table = (
        SECURITY_PAGE.read_text().partition("| Rejected here | Reason |\n|---|---|\n")[2].partition("\n\n")[0]
    )
    documented = [row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()]

    assert sorted(documented) == sorted(comments(file)[1] for file in CONFIGS.glob("stricter/*.yml"))


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


ABSENT = "(No such file or directory)"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            "cert_file: none.pem\n  key_file: none.key",
            [
                f'web.yml:2: tls_server_config.cert_file: expected a readable file, got "none.pem" {ABSENT}',
                f'web.yml:3: tls_server_config.key_file: expected a readable file, got "none.key" {ABSENT}',
            ],
        ),
        (
            "cert_file: server.pem\n  key_file: other.key",
            [
                (
                    "web.yml:2: tls_server_config.cert_file, web.yml:3: tls_server_config.key_file: expected"
                    " a certificate and its unencrypted private key in PEM form, got KEY_VALUES_MISMATCH"
                ),
            ],
        ),
        (
            "cert_file: server.pem\n  key: text\n  client_ca_file: ca",
            [
                f'web.yml:4: tls_server_config.client_ca_file: expected a readable file, got "ca" {ABSENT}',
                (
                    "web.yml:1: tls_server_config.client_auth_type: expected a type that verifies"
                    " certificates, with client_ca, got none"
                ),
            ],
        ),
    ],
)
def test_certificate_errors_name_file_key_and_line(
    web_config_dir: WebConfigDir, config: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(web_config_dir.path)
    file = Path("web.yml")
    file.write_text(f"tls_server_config:\n  {config}\n")

    with pytest.raises(ConfigError) as caught:
        open_reloader(file)

    assert sorted(str(caught.value).splitlines()) == sorted(expected)


def test_lines_of_a_header_are_joined(web_config_dir: WebConfigDir) -> None:
    config = load_web_config(web_config_dir.path / "multi-line-header.yml")

    assert config.headers == {"Content-Security-Policy": "default-src 'self'; img-src 'none'"}


def test_interval_without_unit_is_nanoseconds(web_config_dir: WebConfigDir) -> None:
    rate_limit = load_web_config(web_config_dir.path / "newer-interval-in-nanoseconds.yml").rate_limit

    assert rate_limit is not None
    assert rate_limit.interval == pytest.approx(1e-9)


def test_own_keys_take_precedence_over_merged_keys(web_config_dir: WebConfigDir) -> None:
    tls = load_web_config(web_config_dir.path / "merge-key.yml").tls

    assert tls is not None
    assert [file.name for file in tls.files] == ["server.pem", "server.key"]


@pytest.mark.parametrize(
    "text",
    [
        "rate_limit: &a\n  <<: *a\n",
        "basic_auth_users: &a {}\nhttp_server_config:\n  <<: [*a, *a, *a]\n",
        "rate_limit: &a\n  <<: [*a, [*a, *a], {<<: *a}]\n",
    ],
)
def test_recursive_merge_keys_end(tmp_path: Path, text: str) -> None:
    file = tmp_path / "web.yml"
    file.write_text(text)

    assert load_web_config(file).rate_limit is None


def test_names_without_verification_are_ignored_with_a_warning(
    web_config_dir: WebConfigDir, caplog: pytest.LogCaptureFixture
) -> None:
    open_reloader(web_config_dir.path / "newer-names-without-policy.yml")

    assert "client_allowed_sans ignored" in caplog.text
