"""The apps that sessions belong to.

Newer agents name the client, such as ``cursor``; older ones only its family. The family is what both know,
and it goes by the slug under which Coder's API has its use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["APP_FAMILIES", "SESSION_COUNT_COLUMNS", "UNKNOWN_APP_FAMILY", "app_family", "sum_by_app_family"]

UNKNOWN_APP_FAMILY: Final = "unknown"
"""The family of clients that are none of those below."""

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
"""The families that every agent tells of, so that silence means zero."""

SESSION_COUNT_COLUMNS: Final = (
    "session_count_vscode",
    "session_count_jetbrains",
    "session_count_reconnecting_pty",
    "session_count_ssh",
)
"""The older table's columns of these families, in the same order."""


def app_family(client: str) -> str:
    """Return the family of a client as an agent names it."""
    return _APP_FAMILY_BY_CLIENT.get(client.lower().replace("-", "_"), UNKNOWN_APP_FAMILY)


def sum_by_app_family(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the open sessions by family; what has none is left out."""
    sessions: dict[str, int] = {}
    for client, count in counts:
        if count > 0:
            app = app_family(client)
            sessions[app] = sessions.get(app, 0) + count
    return sessions
