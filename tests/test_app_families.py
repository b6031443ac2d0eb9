"""Families of client programs and apps."""

from __future__ import annotations

import pytest

from insights_exporter.app_families import app_family, client_name, usage_family


@pytest.mark.parametrize(
    ("client", "family"),
    [
        ("cursor", "vscode"),
        ("VSCode-Insiders", "vscode"),
        ("zed", "ssh"),
        ("reconnecting_pty", "reconnecting-pty"),
        ("overflow", "unknown"),
        ("emacs", "unknown"),
    ],
)
def test_clients_belong_to_a_family(client: str, family: str) -> None:
    assert app_family(client) == family


@pytest.mark.parametrize(
    ("client", "name"),
    [
        ("Cursor", "cursor"),
        ("reconnecting_pty", "reconnecting-pty"),
        ("overflow", "overflow"),
        ("emacs", "emacs"),
    ],
)
def test_clients_keep_their_name(client: str, name: str) -> None:
    assert client_name(client) == name


def test_family_of_an_app_is_that_of_coder_or_follows_from_its_type() -> None:
    assert usage_family("cursor", "builtin", "vscode") == "vscode"
    assert usage_family("web-terminal", "builtin", "reconnecting_pty") == "reconnecting-pty"
    assert usage_family("emacs", "builtin", "emacs_family") == "emacs_family"
    assert usage_family("ssh", "builtin") == "ssh"
    assert usage_family("code-server", "app") == "workspace_app"
