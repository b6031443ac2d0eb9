"""App families: the values of the ``app`` label of agent statistics.

Newer agents report the client, such as ``cursor``, older ones only its family. Both sources therefore count
by family. A family is named by its app slug in Coder's insights API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["APP_FAMILIES", "SESSION_COUNT_COLUMNS", "UNKNOWN_APP_FAMILY", "app_family", "sum_by_app_family"]

UNKNOWN_APP_FAMILY: Final = "unknown"
"""The family of all clients that are not listed here."""

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

APP_FAMILIES: Final = ("vscode", "jetbrains", "reconnecting-pty", "ssh")
"""The families that every agent reports; their series are 0 without sessions."""

SESSION_COUNT_COLUMNS: Final = (
    "session_count_vscode",
    "session_count_jetbrains",
    "session_count_reconnecting_pty",
    "session_count_ssh",
)
"""Columns of the older table schema, in the order of ``APP_FAMILIES``."""


def app_family(client: str) -> str:
    """Return the app family of a client that an agent reports."""
    return _APP_FAMILY_BY_CLIENT.get(client.lower().replace("-", "_"), UNKNOWN_APP_FAMILY)


def sum_by_app_family(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the open sessions by app family, without families that have none."""
    sessions: dict[str, int] = {}
    for client, count in counts:
        if count > 0:
            app = app_family(client)
            sessions[app] = sessions.get(app, 0) + count
    return sessions
