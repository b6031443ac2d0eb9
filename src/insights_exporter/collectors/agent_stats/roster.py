"""Which template an agent belongs to, by the names that coderd's metrics have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from insights_exporter.snapshot import TemplateKey

__all__ = ["WorkspaceIndex"]


class WorkspaceIndex:
    """Templates by owner and name of the workspace.

    An owner has one workspace of a name, and a workspace has one template, so that the agent's name need not
    be known. Where two workspaces claim the same names, neither is taken.
    """

    def __init__(self, templates: dict[tuple[str, str], TemplateKey | None]) -> None:
        self._templates = templates

    @classmethod
    def from_workspaces(cls, workspaces: Iterable[tuple[str, str, TemplateKey]]) -> Self:
        """Return the roster of workspaces, each with its owner, its name and its template."""
        templates: dict[tuple[str, str], TemplateKey | None] = {}
        for owner, name, key in workspaces:
            # Coder keeps names apart without regard to case.
            workspace_key = owner.casefold(), name.casefold()
            templates[workspace_key] = key if templates.get(workspace_key, key) == key else None
        return cls(templates)

    def __len__(self) -> int:
        """Return how many workspaces are in it."""
        return len(self._templates)

    def template(self, owner: str, workspace: str) -> TemplateKey | None:
        """Return the template of a workspace; None where nobody knows for sure."""
        return self._templates.get((owner.casefold(), workspace.casefold()))
