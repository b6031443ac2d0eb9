"""What collectors ask; the client answers, and so can a script in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from insights_exporter.coder import responses
from insights_exporter.coder.authorization import Check
from insights_exporter.coder.client import Interval, Section
from insights_exporter.coder.version import Feature, ServerVersion

__all__ = ["Coder"]


class Coder(Protocol):
    """The questions of the collectors; each raises a kind of UpstreamError, or SecretError."""

    @property
    def version(self) -> ServerVersion | None:
        """The server's version as far as it is known."""
        ...

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead of ours."""
        ...

    def lacks(self, feature: Feature) -> bool:
        """Say whether the server is known to be too old for it."""
        ...

    async def build_info(self) -> responses.BuildInfo:
        """Return the server's version and identity."""
        ...

    async def authcheck(self, checks: Mapping[str, Check]) -> dict[str, bool]:
        """Return what the account may do."""
        ...

    async def token_expiry(self) -> datetime | None:
        """Return when the token ends."""
        ...

    async def entitlements(self) -> responses.Entitlements:
        """Return what the licence allows."""
        ...

    async def user_status_counts(self) -> dict[str, list[responses.StatusCount]]:
        """Return how many users had each status over the last days."""
        ...

    async def templates(self) -> list[responses.Template]:
        """Return all templates but deleted ones."""
        ...

    async def users(self) -> list[responses.User]:
        """Return the users that the account may list."""
        ...

    async def workspaces(self) -> list[responses.Workspace]:
        """Return the workspaces that the account may list."""
        ...

    async def rich_parameters(self, version_id: str) -> list[responses.RichParameter]:
        """Return the parameters that a template version declares."""
        ...

    async def template_insights(
        self,
        start: datetime,
        end: datetime,
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,
        sections: Sequence[Section] = ("report",),
    ) -> responses.TemplateInsights:
        """Return users, apps and parameters of a range."""
        ...

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> responses.UserActivityReport:
        """Return each active user's time in a range."""
        ...

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> responses.LatencyReport:
        """Return each active user's connection latency in a range."""
        ...
