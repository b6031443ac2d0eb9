"""What collectors ask; the client answers, and so can a script in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from insights_exporter.coder import models
from insights_exporter.coder.authorization import AuthorizationCheck
from insights_exporter.coder.client import Interval, Section
from insights_exporter.coder.versions import Feature, ServerVersion

__all__ = ["CoderApi"]


class CoderApi(Protocol):
    """The questions of the collectors; each raises a kind of UpstreamError, or SecretError."""

    @property
    def version(self) -> ServerVersion | None:
        """The server's version as far as it is known."""
        ...

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead of ours."""
        ...

    def is_unsupported(self, feature: Feature) -> bool:
        """Say whether the server is known to be too old for it."""
        ...

    async def build_info(self) -> models.BuildInfo:
        """Return the server's version and identity."""
        ...

    async def authcheck(self, checks: Mapping[str, AuthorizationCheck]) -> dict[str, bool]:
        """Return what the account may do."""
        ...

    async def token_expiry(self) -> datetime | None:
        """Return when the token ends."""
        ...

    async def entitlements(self) -> models.Entitlements:
        """Return what the licence allows."""
        ...

    async def user_status_counts(self) -> dict[str, list[models.StatusCount]]:
        """Return how many users had each status over the last days."""
        ...

    async def templates(self) -> list[models.Template]:
        """Return all templates but deleted ones."""
        ...

    async def users(self) -> list[models.User]:
        """Return the users that the account may list."""
        ...

    async def workspaces(self) -> list[models.Workspace]:
        """Return the workspaces that the account may list."""
        ...

    async def rich_parameters(self, version_id: str) -> list[models.RichParameter]:
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
    ) -> models.TemplateInsights:
        """Return users, apps and parameters of a range."""
        ...

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserActivityReport:
        """Return each active user's time in a range."""
        ...

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserLatencyReport:
        """Return each active user's connection latency in a range."""
        ...
