"""Warnings about files with secrets that every user of the machine can read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from insights_exporter.check import Level
from insights_exporter.check.access import check_secret_files
from insights_exporter.commands import configure_logging
from insights_exporter.config.settings import CoderSettings, ServerSettings, Settings
from insights_exporter.secrets import FileSecret


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that every user can enter; pytest's own folders are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def write_settings(folder: Path) -> Settings:
    """Write a token, a key and a web configuration file with mode 0644, and return settings with them."""
    token, key, web_config = folder / "token", folder / "server.key", folder / "web.yaml"
    token.write_text("hunter2-hunter2")
    key.write_text("key")
    web_config.write_text(f"tls_server_config: {{cert_file: {key}, key_file: {key}}}\n")
    for file in (token, key, web_config):
        file.chmod(0o644)
    return Settings(
        coder=CoderSettings(url="http://127.0.0.1:9", token=FileSecret(token)),
        server=ServerSettings(web_config_file=web_config),
    )


def exposed(settings: Settings) -> list[str]:
    findings = list(check_secret_files(settings))
    assert all(finding.level is Level.WARNING and "chmod 600" in finding.advice for finding in findings)
    return [finding.text for finding in findings]


def test_world_readable_files_are_reported_with_their_key(public_folder: Path) -> None:
    settings = write_settings(public_folder)

    token, key, web_config = (public_folder / name for name in ("token", "server.key", "web.yaml"))
    assert exposed(settings) == [
        f"Every user of this machine can read {token} (coder.token_file).",
        f"Every user of this machine can read {web_config} (server.web_config_file).",
        f"Every user of this machine can read {key} (tls_server_config.key_file of {web_config}).",
    ]


def test_group_readable_files_are_accepted(public_folder: Path) -> None:
    settings = write_settings(public_folder)
    for file in public_folder.iterdir():
        file.chmod(0o640)

    assert exposed(settings) == []


def test_a_private_folder_protects_its_files(public_folder: Path) -> None:
    settings = write_settings(public_folder)
    public_folder.chmod(0o700)

    assert exposed(settings) == []


def test_a_symlink_is_followed(public_folder: Path) -> None:
    settings = write_settings(public_folder)
    token = public_folder / "token"
    token.rename(public_folder / "target")
    token.symlink_to("target")

    assert f"Every user of this machine can read {token} (coder.token_file)." in exposed(settings)
    (public_folder / "target").chmod(0o600)
    assert not any("token_file" in text for text in exposed(settings))


def test_a_missing_file_is_left_to_other_checks(public_folder: Path) -> None:
    settings = write_settings(public_folder)
    for file in public_folder.iterdir():
        file.unlink()

    assert exposed(settings) == []


def test_the_log_names_world_readable_files(public_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = write_settings(public_folder)

    configure_logging(settings)

    warnings = [
        line for line in capfd.readouterr().err.splitlines() if "secret file is world-readable" in line
    ]
    assert [("key=coder.token_file" in line, str(public_folder) in line) for line in warnings] == [
        (True, True),
        (False, True),
    ]
