"""The programs that people open sessions with, as the newest servers tell them apart."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CLIENT_APPS", "ClientApp", "client_app"]


class ClientApp(NamedTuple):
    """A program, and the family of sessions under which older servers count it."""

    name: str
    display_name: str
    icon: str
    family: str


CLIENT_APPS: Final = (
    ClientApp("vscode", "VS Code", "/icon/code.svg", "vscode"),
    ClientApp("cursor", "Cursor", "/icon/cursor.svg", "vscode"),
    ClientApp("jetbrains", "JetBrains", "/icon/intellij.svg", "jetbrains"),
    ClientApp("reconnecting-pty", "Web Terminal", "/icon/terminal.svg", "reconnecting_pty"),
    ClientApp("ssh", "SSH", "/icon/terminal.svg", "ssh"),
    ClientApp("unknown", "Unknown", "", "unknown"),
    ClientApp("overflow", "Overflow", "", "unknown"),
)
"""In the order in which they are listed; the last two account for what has no name of its own."""


def client_app(family: str, user: int) -> str:
    """Name the app by which a user, given by place, opens sessions of a family."""
    if family == "vscode" and user % 3 == 0:
        return "cursor"
    return family.replace("_", "-")
