"""App families of Coder: which client programs and apps are of one kind.

Older servers count sessions by family, newer ones by client program: Cursor differs from VS Code, but is of
its family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["UNKNOWN_APP_FAMILY", "WORKSPACE_APP_FAMILY", "app_family", "client_name", "usage_family"]

UNKNOWN_APP_FAMILY: Final = "unknown"
"""The family of all clients that are not listed here, and of Coder's accounting rows."""

WORKSPACE_APP_FAMILY: Final = "workspace_app"
"""The family of apps that a template declares."""

_CLIENTS_BY_APP_FAMILY: Final[Mapping[str, tuple[str, ...]]] = {
    "vscode": (
        *("vscode", "vscode_insiders", "vscode_web", "code_server", "cursor", "windsurf", "positron"),
        *("vscodium", "codium", "antigravity", "trae", "kiro", "devin"),
    ),
    "jetbrains": ("jetbrains",),
    "reconnecting-pty": ("reconnecting_pty",),
    "ssh": ("ssh", "zed"),
    "sftp": ("sftp",),
}
_APP_FAMILY_BY_CLIENT: Final = {
    client: name for name, clients in _CLIENTS_BY_APP_FAMILY.items() for client in clients
}
_APP_BY_CLIENT: Final = {"reconnecting_pty": "reconnecting-pty"}
"""Clients with another name in Coder's Insights API."""


def app_family(client: str) -> str:
    """Return the app family of a client that an agent reports."""
    return _APP_FAMILY_BY_CLIENT.get(_normalize(client), UNKNOWN_APP_FAMILY)


def client_name(client: str) -> str:
    """Return the name of a client as Coder's Insights API has it; ``unknown`` and ``overflow`` are kept."""
    name = _normalize(client)
    return _APP_BY_CLIENT.get(name, name)


def usage_family(slug: str, app_type: str, reported: str = "") -> str:
    """Return the family of an app in Coder's Insights; ``reported`` is empty on older servers."""
    if reported:
        # A family that is new in Coder keeps its name.
        return _APP_FAMILY_BY_CLIENT.get(_normalize(reported), reported)
    return app_family(slug) if app_type == "builtin" else WORKSPACE_APP_FAMILY


def _normalize(client: str) -> str:
    return client.lower().replace("-", "_")
