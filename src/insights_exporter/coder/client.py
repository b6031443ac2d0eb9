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
from insights_exporter.coder import responses
from insights_exporter.coder.authorization import Check, batches
from insights_exporter.coder.exchange import Exchange
from insights_exporter.coder.observer import Observer, SilentObserver
from insights_exporter.coder.paging import Page, read_pages
from insights_exporter.coder.retry import RetryPolicy
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.coder.tls import tls_towards
from insights_exporter.coder.transport import Request, Transport
from insights_exporter.coder.version import Feature, ServerVersion
from insights_exporter.coder.windows import format_time
from insights_exporter.errors import BadResponse, RouteMissing

__all__ = ["CoderClient", "Interval", "Section", "open_session"]

Interval: TypeAlias = Literal["day", "week"]
Section: TypeAlias = Literal["report", "interval_reports"]

T = TypeVar("T")

USERS_PAGE = 1000


class CoderClient:
    """A client of one deployment; an asynchronous context manager.

    Every method raises a kind of UpstreamError when Coder gives no usable answer, and SecretError when the
    token cannot be read. What a server is too old for raises RouteMissing. All calls together keep to the
    configured concurrency; those of a view from ``within`` also keep to its deadline. Errors repeat the
    server's words, which may name people, only where ``quote`` lets them.
    """

    def __init__(  # noqa: PLR0913 - everything from outside is a parameter.
        self,
        settings: CoderSettings,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        observer: Observer | None = None,
        session: aiohttp.ClientSession | None = None,
        quote: bool = True,
    ) -> None:
        self._settings = settings
        self._quote = quote
        self._clock = clock or SystemClock()
        self._observer = observer or SilentObserver()
        self._random = rng or random.Random()
        self._given_session = session
        self._own_session: aiohttp.ClientSession | None = None
        self._open: Exchange | None = None

    async def __aenter__(self) -> Self:
        """Open the connections; raise ConfigError where a certificate cannot be used."""
        session = self._given_session
        if session is None:
            session = self._own_session = await open_session(self._settings, URL(self._settings.url))
        self._open = Exchange(
            transport=Transport(
                self._settings,
                session=session,
                clock=self._clock,
                observer=self._observer,
                quote=self._quote,
            ),
            clock=self._clock,
            random=self._random,
            observer=self._observer,
            turn=asyncio.Semaphore(self._settings.concurrency),
            policy=RetryPolicy(self._settings.retries),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections that the client opened itself."""
        self._open = None
        if self._own_session is not None:
            await self._own_session.close()

    def within(self, seconds: float) -> CoderClient:
        """Return a view of this client whose calls together may take that long from now on."""
        view = copy(self)
        view._open = self._exchange.until(self._clock.monotonic() + seconds)  # noqa: SLF001 - it is one of us.
        return view

    @property
    def version(self) -> ServerVersion | None:
        """The server's version as its newest answer told it."""
        return self._exchange.transport.version

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead of ours, to about one second."""
        return self._exchange.transport.skew

    def lacks(self, feature: Feature) -> bool:
        """Say whether the server is known to be too old for it."""
        return self.version is not None and not self.version.supports(feature)

    # Identity and permissions

    async def build_info(self) -> responses.BuildInfo:
        """Return the server's version and identity."""
        return await self._get(Request(path="/buildinfo"), responses.BuildInfo)

    async def me(self) -> responses.User:
        """Return the token's account."""
        return await self._get(Request(path="/users/me"), responses.User)

    async def authcheck(self, checks: Mapping[str, Check]) -> dict[str, bool]:
        """Return what the account may do, under the keys of the checks."""
        allowed: dict[str, bool] = {}
        for batch in batches(checks):
            payload = {"checks": {key: check.request() for key, check in batch.items()}}
            allowed |= await self._get(
                Request(path="/authcheck", payload=msgspec.json.encode(payload)), dict[str, bool]
            )
        return allowed

    async def token_expiry(self) -> datetime | None:
        """Return when the token ends unless it is used before; None where Coder does not list it."""
        tokens = await self._get(Request(path="/users/me/keys/tokens"), list[responses.Token])
        key_id = self._settings.token.read().reveal().partition("-")[0]
        expiries = (responses.seen(token.expires_at) for token in tokens if token.id == key_id)
        return next(expiries, None)

    # Inventory

    async def organizations(self) -> list[responses.Organization]:
        """Return the organizations that the account may read."""
        if not self.lacks(Feature.ALL_ORGANIZATIONS):
            try:
                return await self._get(Request(path="/organizations"), list[responses.Organization])
            except RouteMissing:
                pass
        return await self._get(Request(path="/users/me/organizations"), list[responses.Organization])

    async def templates(self) -> list[responses.Template]:
        """Return all templates but deleted ones, deprecated ones too, each with its organization's name."""
        if not self.lacks(Feature.ALL_TEMPLATES):
            try:
                found = await self._templates("/templates", "/templates")
            except RouteMissing:
                pass
            else:
                if all(template.organization_name for template in found):
                    return found
                return _with_organizations(found, await self.organizations())
        organizations = await self.organizations()
        by_id: dict[str, responses.Template] = {}
        for organization in organizations:
            path = f"/organizations/{quote(organization.id, safe='')}/templates"
            rows = await self._templates(path, "/organizations/{id}/templates")
            by_id.update((template.id, template) for template in rows)
        return _with_organizations(list(by_id.values()), organizations)

    async def users(self) -> list[responses.User]:
        """Return the users that the account may list; deleted ones are not among them."""

        async def fetch(limit: int, offset: int) -> Page[responses.User]:
            query = {"limit": str(limit), "offset": str(offset)}
            page = await self._exchange.ask(Request(path="/users", query=query), responses.UsersPage)
            return Page(page.value.users, page.value.count, page.dropped)

        return await read_pages(fetch, size=USERS_PAGE)

    async def workspaces(self) -> list[responses.Workspace]:
        """Return the workspaces that the account may list, each once."""

        async def fetch(limit: int, offset: int) -> Page[responses.Workspace]:
            query = {"limit": str(limit), "offset": str(offset)}
            page = await self._exchange.ask(
                Request(path="/workspaces", query=query), responses.WorkspacesPage
            )
            return Page(page.value.workspaces, page.value.count, page.dropped)

        return await read_pages(fetch, size=self._settings.workspace_page_size)

    async def rich_parameters(self, version_id: str) -> list[responses.RichParameter]:
        """Return the parameters that a template version declares; NotReady while it is being imported."""
        request = Request(
            path=f"/templateversions/{quote(version_id, safe='')}/rich-parameters",
            endpoint="/templateversions/{id}/rich-parameters",
        )
        return await self._get(request, list[responses.RichParameter])

    # Insights

    async def template_insights(
        self,
        start: datetime,
        end: datetime,
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,
        sections: Sequence[Section] = ("report",),
    ) -> responses.TemplateInsights:
        """Return users, apps and parameters of a range; without ids those of the whole deployment.

        Reports of intervals need both the interval and the section ``interval_reports``.
        """
        query = _range(start, end, template_ids)
        if interval is not None:
            query["interval"] = interval
        if sections:
            query["sections"] = ",".join(sections)
        request = Request(path="/insights/templates", query=query)
        answer = await self._get(request, responses.TemplateInsights)
        if answer.report is None and (not sections or "report" in sections):
            # Every field may be absent, so that any object passes for an answer; this one never is.
            raise BadResponse("Expected a report, found none.", endpoint=request.path)
        return answer

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> responses.UserActivityReport:
        """Return each active user's time in a range."""
        query = _range(start, end, template_ids)
        answer = await self._get(
            Request(path="/insights/user-activity", query=query), responses.UserActivityAnswer
        )
        return answer.report

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> responses.LatencyReport:
        """Return each active user's connection latency in a range."""
        query = _range(start, end, template_ids)
        answer = await self._get(Request(path="/insights/user-latency", query=query), responses.LatencyAnswer)
        return answer.report

    async def user_status_counts(self) -> dict[str, list[responses.StatusCount]]:
        """Return how many users had each status over the last sixty days."""
        answer = await self._get(Request(path="/insights/user-status-counts"), responses.StatusCounts)
        return answer.status_counts

    async def daus(self, template_id: str | None = None) -> list[responses.DailyUsers]:
        """Return the active users of each of the last sixty UTC days, of one template or of all."""
        request = Request(path="/insights/daus")
        if template_id is not None:
            path = f"/templates/{quote(template_id, safe='')}/daus"
            request = Request(path=path, endpoint="/templates/{id}/daus")
        answer = await self._get(request, responses.DailyUsersAnswer)
        return answer.entries

    # Deployment

    async def deployment_stats(self) -> responses.DeploymentStats:
        """Return states, traffic and sessions of all workspaces now."""
        return await self._get(Request(path="/deployment/stats"), responses.DeploymentStats)

    async def health(self) -> responses.Health:
        """Return Coder's report on its own health; owners only."""
        return await self._get(Request(path="/debug/health"), responses.Health)

    async def entitlements(self) -> responses.Entitlements:
        """Return what the licence allows; RouteMissing on the open-source edition."""
        return await self._get(Request(path="/entitlements"), responses.Entitlements)

    async def debug_metrics(self) -> str:
        """Return Coder's own Prometheus metrics as text."""
        return await self._exchange.text(Request(path="/debug/metrics"))

    # How it is done

    async def _templates(self, path: str, endpoint: str) -> list[responses.Template]:
        found = await self._get(Request(path=path, endpoint=endpoint), list[responses.Template])
        if not self.lacks(Feature.DEPRECATED_HIDDEN):
            request = Request(path=path, endpoint=endpoint, query={"q": "deprecated:true"})
            found += await self._get(request, list[responses.Template])
        return list({template.id: template for template in found if not template.deleted}.values())

    @property
    def _exchange(self) -> Exchange:
        if self._open is None:
            raise RuntimeError("Open the client with `async with` before you ask.")
        return self._open

    async def _get(self, request: Request, expected: type[T]) -> T:
        return (await self._exchange.ask(request, expected)).value


async def open_session(settings: CoderSettings, url: URL) -> aiohttp.ClientSession:
    """Return a session to an address with the deployment's certificates.

    Raises ConfigError where these cannot be used.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=await tls_towards(url, settings), limit=settings.concurrency),
        # A cookie of a proxy or of Coder would speak for us besides the token.
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _range(start: datetime, end: datetime, template_ids: Sequence[str]) -> dict[str, str]:
    query = {"start_time": format_time(start), "end_time": format_time(end)}
    if template_ids:
        query["template_ids"] = ",".join(template_ids)
    return query


def _with_organizations(
    templates: Sequence[responses.Template], organizations: Sequence[responses.Organization]
) -> list[responses.Template]:
    """Return the templates with the names of their organizations, which old servers leave out."""
    by_id = {organization.id: organization for organization in organizations}
    completed = []
    for template in templates:
        organization = by_id.get(template.organization_id)
        if organization is None or template.organization_name:
            completed.append(template)
        else:
            completed.append(
                msgspec.structs.replace(
                    template,
                    organization_name=organization.name,
                    organization_display_name=organization.display_name,
                )
            )
    return completed
