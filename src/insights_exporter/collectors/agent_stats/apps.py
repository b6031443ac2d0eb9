"""The apps that sessions belong to.

Newer agents name the client, such as ``cursor``; older ones only its family. The family is what both know,
and it goes by the slug under which Coder's API has its use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["COLUMNS", "FAMILIES", "UNKNOWN", "families", "family"]

UNKNOWN: Final = "unknown"
"""The family of clients that are none of those below."""

_CLIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "vscode": (
        *("vscode", "vscode_insiders", "vscode_web", "code_server", "cursor", "windsurf", "positron"),
        *("vscodium", "codium", "antigravity", "trae", "kiro", "devin"),
    ),
    "jetbrains": ("jetbrains",),
    "reconnecting-pty": ("reconnecting_pty",),
    "ssh": ("ssh", "zed"),
    "sftp": ("sftp",),
}
_FAMILY: Final = {client: name for name, clients in _CLIENTS.items() for client in clients}

FAMILIES: Final = ("vscode", "jetbrains", "reconnecting-pty", "ssh")
"""The families that every agent tells of, so that silence means zero."""

COLUMNS: Final = (
    "session_count_vscode",
    "session_count_jetbrains",
    "session_count_reconnecting_pty",
    "session_count_ssh",
)
"""The older table's columns of these families, in the same order."""


def family(client: str) -> str:
    """Return the family of a client as an agent names it."""
    return _FAMILY.get(client.lower().replace("-", "_"), UNKNOWN)


def families(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the open sessions by family; what has none is left out."""
    found: dict[str, int] = {}
    for client, count in counts:
        if count > 0:
            name = family(client)
            found[name] = found.get(name, 0) + count
    return found
