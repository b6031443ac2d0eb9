"""Questions to a Coder deployment and their answers."""

from __future__ import annotations

import asyncio
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
from insights_exporter.coder.authorization import AuthorizationCheck, batch_checks
from insights_exporter.coder.observer import NullObserver, Observer
from insights_exporter.coder.pagination import ListPage, fetch_all_pages
from insights_exporter.coder.pipeline import RequestPipeline
from insights_exporter.coder.retry import RetryPolicy
from insights_exporter.coder.session import ssl_context_for
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.coder.time_ranges import format_time
from insights_exporter.coder.transport import Request, Transport
from insights_exporter.coder.versions import Feature, ServerVersion
from insights_exporter.errors import BadResponse, UnsupportedEndpoint

__all__ = ["CoderClient", "Interval", "Section", "open_session"]

Interval: TypeAlias = Literal["day", "week"]
Section: TypeAlias = Literal["report", "interval_reports"]

T = TypeVar("T")

USERS_PAGE_SIZE = 1000


class CoderClient:
    """A client of one deployment; an asynchronous context manager.

    Every method raises a kind of UpstreamError when Coder gives no usable answer, and SecretError when the
    token cannot be read. What a server is too old for raises RouteMissing. All calls together keep to the
    configured concurrency; those of a view from ``within`` also keep to its deadline. Errors repeat the
    server's words, which may name people, only where ``quote`` lets them.
    """

    def __init__(
        self,
        settings: CoderSettings,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        observer: Observer | None = None,
        session: aiohttp.ClientSession | None = None,
        include_server_text: bool = True,
    ) -> None:
        self._settings = settings
        self._include_server_text = include_server_text
        self._clock = clock or SystemClock()
        self._observer = observer or NullObserver()
        self._random = rng or random.Random()
        self._external_session = session
        self._owned_session: aiohttp.ClientSession | None = None
        self._open_pipeline: RequestPipeline | None = None

    async def __aenter__(self) -> Self:
        """Open the connections; raise ConfigError where a certificate cannot be used."""
        session = self._external_session
        if session is None:
            session = self._owned_session = await open_session(self._settings, URL(self._settings.url))
        self._open_pipeline = RequestPipeline(
            transport=Transport(
                self._settings,
                session=session,
                clock=self._clock,
                observer=self._observer,
                include_server_text=self._include_server_text,
            ),
            clock=self._clock,
            random=self._random,
            observer=self._observer,
            semaphore=asyncio.Semaphore(self._settings.concurrency),
            policy=RetryPolicy(self._settings.retries),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections that the client opened itself."""
        self._open_pipeline = None
        if self._owned_session is not None:
            await self._owned_session.close()

    def with_timeout(self, seconds: float) -> CoderClient:
        """Return a view of this client whose calls together may take that long from now on."""
        view = copy(self)
        view._open_pipeline = self._pipeline.with_deadline(self._clock.monotonic() + seconds)
        return view

    @property
    def version(self) -> ServerVersion | None:
        """The server's version as its newest answer told it."""
        return self._pipeline.transport.version

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead of ours, to about one second."""
        return self._pipeline.transport.clock_skew

    def is_unsupported(self, feature: Feature) -> bool:
        """Say whether the server is known to be too old for it."""
        return self.version is not None and not self.version.supports(feature)

    # Identity and permissions

    async def build_info(self) -> models.BuildInfo:
        """Return the server's version and identity."""
        return await self._get(Request(path="/buildinfo"), models.BuildInfo)

    async def me(self) -> models.User:
        """Return the token's account."""
        return await self._get(Request(path="/users/me"), models.User)

    async def authcheck(self, checks: Mapping[str, AuthorizationCheck]) -> dict[str, bool]:
        """Return what the account may do, under the keys of the checks."""
        allowed: dict[str, bool] = {}
        for batch in batch_checks(checks):
            payload = {"checks": {key: check.to_request() for key, check in batch.items()}}
            allowed |= await self._get(
                Request(path="/authcheck", payload=msgspec.json.encode(payload)), dict[str, bool]
            )
        return allowed

    async def token_expiry(self) -> datetime | None:
        """Return when the token ends unless it is used before; None where Coder does not list it."""
        tokens = await self._get(Request(path="/users/me/keys/tokens"), list[models.Token])
        key_id = self._settings.token.read().reveal().partition("-")[0]
        expiries = (models.none_if_zero_time(token.expires_at) for token in tokens if token.id == key_id)
        return next(expiries, None)

    # Inventory

    async def organizations(self) -> list[models.Organization]:
        """Return the organizations that the account may read."""
        if not self.is_unsupported(Feature.ALL_ORGANIZATIONS):
            try:
                return await self._get(Request(path="/organizations"), list[models.Organization])
            except UnsupportedEndpoint:
                pass
        return await self._get(Request(path="/users/me/organizations"), list[models.Organization])

    async def templates(self) -> list[models.Template]:
        """Return all templates but deleted ones, deprecated ones too, each with its organization's name."""
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
        for organization in organizations:
            path = f"/organizations/{quote(organization.id, safe='')}/templates"
            rows = await self._list_templates(path, "/organizations/{id}/templates")
            by_id.update((template.id, template) for template in rows)
        return _fill_organization_names(list(by_id.values()), organizations)

    async def users(self) -> list[models.User]:
        """Return the users that the account may list; deleted ones are not among them."""

        async def fetch(limit: int, offset: int) -> ListPage[models.User]:
            query = {"limit": str(limit), "offset": str(offset)}
            page = await self._pipeline.fetch(Request(path="/users", query=query), models.UsersPage)
            return ListPage(page.value.users, page.value.count, page.dropped)

        return await fetch_all_pages(fetch, size=USERS_PAGE_SIZE)

    async def workspaces(self) -> list[models.Workspace]:
        """Return the workspaces that the account may list, each once."""

        async def fetch(limit: int, offset: int) -> ListPage[models.Workspace]:
            query = {"limit": str(limit), "offset": str(offset)}
            page = await self._pipeline.fetch(Request(path="/workspaces", query=query), models.WorkspacesPage)
            return ListPage(page.value.workspaces, page.value.count, page.dropped)

        return await fetch_all_pages(fetch, size=self._settings.workspace_page_size)

    async def rich_parameters(self, version_id: str) -> list[models.RichParameter]:
        """Return the parameters that a template version declares; NotReady while it is being imported."""
        request = Request(
            path=f"/templateversions/{quote(version_id, safe='')}/rich-parameters",
            endpoint="/templateversions/{id}/rich-parameters",
        )
        return await self._get(request, list[models.RichParameter])

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
        """Return users, apps and parameters of a range; without ids those of the whole deployment.

        Reports of intervals need both the interval and the section ``interval_reports``.
        """
        query = _range_query(start, end, template_ids)
        if interval is not None:
            query["interval"] = interval
        if sections:
            query["sections"] = ",".join(sections)
        request = Request(path="/insights/templates", query=query)
        response = await self._get(request, models.TemplateInsights)
        if response.report is None and (not sections or "report" in sections):
            # Every field may be absent, so that any object passes for an answer; this one never is.
            raise BadResponse("Expected a report, found none.", endpoint=request.path)
        return response

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserActivityReport:
        """Return each active user's time in a range."""
        query = _range_query(start, end, template_ids)
        response = await self._get(
            Request(path="/insights/user-activity", query=query), models.UserActivityResponse
        )
        return response.report

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserLatencyReport:
        """Return each active user's connection latency in a range."""
        query = _range_query(start, end, template_ids)
        response = await self._get(
            Request(path="/insights/user-latency", query=query), models.UserLatencyResponse
        )
        return response.report

    async def user_status_counts(self) -> dict[str, list[models.StatusCount]]:
        """Return how many users had each status over the last sixty days."""
        response = await self._get(
            Request(path="/insights/user-status-counts"), models.UserStatusCountsResponse
        )
        return response.status_counts

    async def daus(self, template_id: str | None = None) -> list[models.DailyUsers]:
        """Return the active users of each of the last sixty UTC days, of one template or of all."""
        request = Request(path="/insights/daus")
        if template_id is not None:
            path = f"/templates/{quote(template_id, safe='')}/daus"
            request = Request(path=path, endpoint="/templates/{id}/daus")
        response = await self._get(request, models.DailyUsersResponse)
        return response.entries

    # Deployment

    async def deployment_stats(self) -> models.DeploymentStats:
        """Return states, traffic and sessions of all workspaces now."""
        return await self._get(Request(path="/deployment/stats"), models.DeploymentStats)

    async def health(self) -> models.Health:
        """Return Coder's report on its own health; owners only."""
        return await self._get(Request(path="/debug/health"), models.Health)

    async def entitlements(self) -> models.Entitlements:
        """Return what the licence allows; RouteMissing on the open-source edition."""
        return await self._get(Request(path="/entitlements"), models.Entitlements)

    async def debug_metrics(self) -> str:
        """Return Coder's own Prometheus metrics as text."""
        return await self._pipeline.fetch_text(Request(path="/debug/metrics"))

    # How it is done

    async def _list_templates(self, path: str, endpoint: str) -> list[models.Template]:
        templates = await self._get(Request(path=path, endpoint=endpoint), list[models.Template])
        if not self.is_unsupported(Feature.DEPRECATED_HIDDEN):
            request = Request(path=path, endpoint=endpoint, query={"q": "deprecated:true"})
            templates += await self._get(request, list[models.Template])
        return list({template.id: template for template in templates if not template.deleted}.values())

    @property
    def _pipeline(self) -> RequestPipeline:
        if self._open_pipeline is None:
            raise RuntimeError("Open the client with `async with` before you ask.")
        return self._open_pipeline

    async def _get(self, request: Request, expected: type[T]) -> T:
        return (await self._pipeline.fetch(request, expected)).value


async def open_session(settings: CoderSettings, url: URL) -> aiohttp.ClientSession:
    """Return a session to an address with the deployment's certificates.

    Raises ConfigError where these cannot be used.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=await ssl_context_for(url, settings), limit=settings.concurrency),
        # A cookie of a proxy or of Coder would speak for us besides the token.
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _range_query(start: datetime, end: datetime, template_ids: Sequence[str]) -> dict[str, str]:
    query = {"start_time": format_time(start), "end_time": format_time(end)}
    if template_ids:
        query["template_ids"] = ",".join(template_ids)
    return query


def _fill_organization_names(
    templates: Sequence[models.Template], organizations: Sequence[models.Organization]
) -> list[models.Template]:
    """Return the templates with the names of their organizations, which old servers leave out."""
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
    return result
