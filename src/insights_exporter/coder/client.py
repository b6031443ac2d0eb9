"""Client of Coder's REST API."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from types import TracebackType
from typing import Literal, Self, TypeAlias, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from insights_exporter.clock import Clock, SystemClock
from insights_exporter.coder import models
from insights_exporter.coder.models import AuthorizationCheck, batch_checks
from insights_exporter.coder.pagination import ListPage, Rows, fetch_all_pages
from insights_exporter.coder.pipeline import RequestPipeline
from insights_exporter.coder.session import open_session
from insights_exporter.coder.time_ranges import format_time
from insights_exporter.coder.transport import Request
from insights_exporter.coder.versions import Feature, ServerVersion
from insights_exporter.config.settings import CoderSettings
from insights_exporter.errors import BadResponse, UnsupportedEndpoint
from insights_exporter.secrets import Secret
from insights_exporter.telemetry import Telemetry

__all__ = ["CoderClient", "Interval", "Section"]

Interval: TypeAlias = Literal["day", "week"]
Section: TypeAlias = Literal["report", "interval_reports"]

T = TypeVar("T")
R = TypeVar("R", models.TemplateInsights, models.UserActivityReport, models.UserLatencyReport)

USERS_PAGE_SIZE = 1000
TOKENS_PATH = "/users/me/keys/tokens"
NANOSECONDS = 1_000_000_000


class CoderClient:
    """Client of one deployment; an asynchronous context manager.

    Every method raises a subclass of UpstreamError without a usable response, and SecretError if the token
    cannot be read; UnsupportedEndpoint means that the server is too old. All requests share the concurrency
    limit; the requests of a view from ``with_timeout`` also share its deadline. Errors repeat the server's
    text, which may name users, only with ``include_server_text``.
    """

    def __init__(  # noqa: PLR0913  # Clock, random numbers and telemetry are injected.
        self,
        settings: CoderSettings,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        telemetry: Telemetry | None = None,
        session: aiohttp.ClientSession | None = None,
        include_server_text: bool = True,
    ) -> None:
        self._settings = settings
        self._include_server_text = include_server_text
        self._clock = clock or SystemClock()
        self._telemetry = telemetry or Telemetry()
        self._random = rng or random.Random()
        self._external_session = session
        self._owned_session: aiohttp.ClientSession | None = None
        self._open_pipeline: RequestPipeline | None = None

    async def __aenter__(self) -> Self:
        """Open the session; raise ConfigError if a certificate file cannot be used."""
        session = self._external_session
        if session is None:
            session = self._owned_session = await open_session(self._settings, URL(self._settings.url))
        self._open_pipeline = RequestPipeline.create(
            self._settings,
            session=session,
            clock=self._clock,
            random=self._random,
            telemetry=self._telemetry,
            include_server_text=self._include_server_text,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session, unless it was passed in."""
        self._open_pipeline = None
        if self._owned_session is not None:
            await self._owned_session.close()

    def with_timeout(self, seconds: float) -> CoderClient:
        """Return a view of this client whose requests together may take that many seconds from now."""
        view = copy(self)
        view._open_pipeline = self._pipeline.with_timeout(seconds)  # noqa: SLF001  # A copy of itself.
        return view

    @property
    def version(self) -> ServerVersion | None:
        """The server's version of the last response; None before the first."""
        return self._pipeline.transport.version

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which the server's clock is ahead, accurate to one second; None if unknown."""
        return self._pipeline.transport.clock_skew

    def is_unsupported(self, feature: Feature) -> bool:
        """Return whether the server's version is known and lacks the feature."""
        return self.version is not None and not self.version.supports(feature)

    # Identity and permissions

    async def build_info(self) -> models.BuildInfo:
        """Return the server's version and identity."""
        return await self._get(Request(path="/buildinfo"), models.BuildInfo)

    async def me(self) -> models.User:
        """Return the account of the token."""
        return await self._get(Request(path="/users/me"), models.User)

    async def authcheck(self, checks: Mapping[str, AuthorizationCheck]) -> dict[str, bool]:
        """Return the result of each permission check, by the keys of the checks."""
        allowed: dict[str, bool] = {}
        for batch in batch_checks(checks):
            payload = {"checks": {key: check.to_request() for key, check in batch.items()}}
            allowed |= await self._get(
                Request(path="/authcheck", payload=msgspec.json.encode(payload)), dict[str, bool]
            )
        return allowed

    async def token_expiry(self) -> datetime | None:
        """Return when the token expires; None if Coder does not list the token."""
        token = await self.current_token()
        return None if token is None else models.none_if_zero_time(token.expires_at)

    async def current_token(self) -> models.Token | None:
        """Return the metadata of the client's token; None if Coder does not list the token."""
        tokens = await self._get(Request(path=TOKENS_PATH), list[models.Token])
        key_id = self._settings.token.read().reveal().partition("-")[0]
        return next((token for token in tokens if token.id == key_id), None)

    async def max_token_lifetime(self) -> float | None:
        """Return the maximum lifetime of a new token in seconds; None if the server sets no maximum."""
        config = await self._get(Request(path=f"{TOKENS_PATH}/tokenconfig"), models.TokenConfig)
        return config.max_token_lifetime / NANOSECONDS if config.max_token_lifetime else None

    async def create_token(self, name: str, *, lifetime: float, scopes: Sequence[str]) -> Secret:
        """Create a token of the account; ``lifetime`` is seconds. A name in use raises BadRequest.

        Servers before v2.27 know only the scopes ``all`` and ``application_connect``, one per token.
        """
        body: dict[str, object] = {"token_name": name, "lifetime": round(lifetime) * NANOSECONDS}
        body |= {"scope": scopes[0]} if len(scopes) == 1 else {"scopes": list(scopes)}
        # A retry after a lost response could create a second token.
        request = Request(path=TOKENS_PATH, payload=msgspec.json.encode(body), retryable=False)
        return Secret((await self._get(request, models.NewToken)).key)

    async def delete_token(self, token_id: str) -> None:
        """Revoke a token of the account."""
        path = f"/users/me/keys/{quote(token_id, safe='')}"
        await self._pipeline.fetch_text(Request(path=path, endpoint="/users/me/keys/{id}", method="DELETE"))

    # Inventory

    async def organizations(self) -> list[models.Organization]:
        """Return the organizations that the account may read."""
        if not self.is_unsupported(Feature.ALL_ORGANIZATIONS):
            try:
                return await self._get(Request(path="/organizations"), list[models.Organization])
            except UnsupportedEndpoint:
                pass
        return await self._get(Request(path="/users/me/organizations"), list[models.Organization])

    async def templates(self) -> Rows[models.Template]:
        """Return all templates with organization names; includes deprecated, excludes deleted templates."""
        if not self.is_unsupported(Feature.ALL_TEMPLATES):
            try:
                found = await self._list_templates("/templates", "/templates")
            except UnsupportedEndpoint:
                pass
            else:
                if all(template.organization_name for template in found):
                    return found
                return _fill_organization_names(found, await self.organizations())
        organizations = await self.organizations()
        by_id: dict[str, models.Template] = {}
        dropped = 0
        for organization in organizations:
            path = f"/organizations/{quote(organization.id, safe='')}/templates"
            rows = await self._list_templates(path, "/organizations/{id}/templates")
            by_id.update((template.id, template) for template in rows)
            dropped += rows.dropped
        return _fill_organization_names(Rows(by_id.values(), dropped), organizations)

    async def users(self) -> list[models.User]:
        """Return the users that the account may list, without deleted users."""

        async def fetch(limit: int, offset: int) -> ListPage[models.User]:
            query = {"limit": str(limit), "offset": str(offset)}
            page = await self._pipeline.fetch(Request(path="/users", query=query), models.UsersPage)
            return ListPage(page.value.users, page.value.count, page.dropped)

        return await fetch_all_pages(fetch, size=USERS_PAGE_SIZE)

    async def user_count(self, status: str) -> int:
        """Return the number of accounts with a status, without deleted users."""
        # A search for rows of one page still returns the number of all matches.
        request = Request(path="/users", query={"q": f"status:{status}", "limit": "1"})
        return (await self._get(request, models.UsersPage)).count or 0

    async def workspaces(self) -> list[models.Workspace]:
        """Return the workspaces that the account may list."""

        async def fetch(limit: int, offset: int) -> ListPage[models.Workspace]:
            query = {"limit": str(limit), "offset": str(offset)}
            page = await self._pipeline.fetch(Request(path="/workspaces", query=query), models.WorkspacesPage)
            return ListPage(page.value.workspaces, page.value.count, page.dropped)

        return await fetch_all_pages(fetch, size=self._settings.workspace_page_size)

    async def groups(self) -> Rows[models.Group]:
        """Return the groups that the account may read.

        Raise UnsupportedEndpoint on the open-source edition and Forbidden without a Premium licence.
        """
        return await self._get_rows(Request(path="/groups"), models.Group)

    async def rich_parameters(self, version_id: str) -> Rows[models.RichParameter]:
        """Return the parameters of a template version; raise NotReady while Coder imports the version."""
        request = Request(
            path=f"/templateversions/{quote(version_id, safe='')}/rich-parameters",
            endpoint="/templateversions/{id}/rich-parameters",
        )
        return await self._get_rows(request, models.RichParameter)

    # Insights

    async def template_insights(
        self,
        start: datetime,
        end: datetime,
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,
        sections: Sequence[Section] = ("report",),
    ) -> models.TemplateInsights:
        """Return users, apps and parameters of a time range; without ids, of the whole deployment.

        Interval reports need both ``interval`` and the section ``interval_reports``.
        """
        query = _range_query(start, end, template_ids)
        if interval is not None:
            query["interval"] = interval
        if sections:
            query["sections"] = ",".join(sections)
        request = Request(path="/insights/templates", query=query)
        decoded = await self._pipeline.fetch(request, models.TemplateInsights)
        response = decoded.value
        if response.report is None and (not sections or "report" in sections):
            # All fields of the model are optional, so any JSON object decodes; a report was requested.
            raise BadResponse("expected a report in the response, got none", endpoint=request.path)
        return _with_dropped(response, decoded.dropped)

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserActivityReport:
        """Return the active seconds of each user in a time range."""
        query = _range_query(start, end, template_ids)
        decoded = await self._pipeline.fetch(
            Request(path="/insights/user-activity", query=query), models.UserActivityResponse
        )
        return _with_dropped(decoded.value.report, decoded.dropped)

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserLatencyReport:
        """Return the connection latency of each active user in a time range."""
        query = _range_query(start, end, template_ids)
        decoded = await self._pipeline.fetch(
            Request(path="/insights/user-latency", query=query), models.UserLatencyResponse
        )
        return _with_dropped(decoded.value.report, decoded.dropped)

    # Deployment

    async def deployment_stats(self) -> models.DeploymentStats:
        """Return current build statuses, traffic and sessions of all workspaces."""
        return await self._get(Request(path="/deployment/stats"), models.DeploymentStats)

    async def health(self) -> models.Health:
        """Return Coder's health report, which only owners may read."""
        return await self._get(Request(path="/debug/health"), models.Health)

    async def entitlements(self) -> models.Entitlements:
        """Return the licence's entitlements; raise UnsupportedEndpoint on the open-source edition."""
        return await self._get(Request(path="/entitlements"), models.Entitlements)

    async def debug_metrics(self) -> str:
        """Return coderd's Prometheus metrics as text."""
        return await self._pipeline.fetch_text(Request(path="/debug/metrics"))

    # Requests

    async def _list_templates(self, path: str, endpoint: str) -> Rows[models.Template]:
        templates = await self._get_rows(Request(path=path, endpoint=endpoint), models.Template)
        dropped = templates.dropped
        if not self.is_unsupported(Feature.DEPRECATED_HIDDEN):
            request = Request(path=path, endpoint=endpoint, query={"q": "deprecated:true"})
            deprecated = await self._get_rows(request, models.Template)
            templates += deprecated
            dropped += deprecated.dropped
        by_id = {template.id: template for template in templates if not template.deleted}
        return Rows(by_id.values(), dropped)

    @property
    def _pipeline(self) -> RequestPipeline:
        if self._open_pipeline is None:
            raise RuntimeError("Open the client with `async with` before requests.")
        return self._open_pipeline

    async def _get_rows(self, request: Request, row_type: type[T]) -> Rows[T]:
        decoded = await self._pipeline.fetch(request, list[row_type])  # type: ignore[valid-type]  # A run-time type.
        return Rows(decoded.value, decoded.dropped)

    async def _get(self, request: Request, expected: type[T]) -> T:
        return (await self._pipeline.fetch(request, expected)).value


def _with_dropped(response: R, dropped: int) -> R:
    """Return the response with the number of its dropped parts."""
    return msgspec.structs.replace(response, dropped=dropped) if dropped else response


def _range_query(start: datetime, end: datetime, template_ids: Sequence[str]) -> dict[str, str]:
    query = {"start_time": format_time(start), "end_time": format_time(end)}
    if template_ids:
        query["template_ids"] = ",".join(template_ids)
    return query


def _fill_organization_names(
    templates: Rows[models.Template], organizations: Sequence[models.Organization]
) -> Rows[models.Template]:
    """Return the templates with organization names, which servers before v2.14 omit."""
    by_id = {organization.id: organization for organization in organizations}
    result = []
    for template in templates:
        organization = by_id.get(template.organization_id)
        if organization is None or template.organization_name:
            result.append(template)
        else:
            result.append(
                msgspec.structs.replace(
                    template,
                    organization_name=organization.name,
                    organization_display_name=organization.display_name,
                )
            )
    return Rows(result, templates.dropped)
