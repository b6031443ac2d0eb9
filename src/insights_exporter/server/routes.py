"""What the exporter answers over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Final, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from insights_exporter.errors import ConfigError
from insights_exporter.metrics.exposition import COLLECTORS
from insights_exporter.metrics.text import Format
from insights_exporter.server.connections import Connection
from insights_exporter.server.negotiation import accepts_gzip, preferred_format
from insights_exporter.server.parts import Parts
from insights_exporter.server.safety import make_safe
from insights_exporter.telemetry import Telemetry

__all__ = ["Page", "Pages", "Site", "Tail", "application"]

logger = logging.getLogger(__name__)

_FRESH: Final[Mapping[str, str]] = {hdrs.CACHE_CONTROL: "no-store"}


class Pages(Protocol):
    """The rendered pages."""

    def parts(
        self, form: Format, *, collectors: frozenset[str] = ..., gzip: bool, tail: bytes
    ) -> Sequence[bytes]:
        """Return what a scrape gets, in parts, the tail at its end; no collectors mean all of them."""
        ...


class Tail(Protocol):
    """The exporter's own metrics."""

    def text(self, form: Format) -> bytes:
        """Return them as they stand now."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A page for people, with the policy that its own style needs."""

    body: bytes
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the routes need; ``unready`` returns why no fresh numbers are served, or nothing.

    ``reload`` reads the configuration anew and raises ConfigError where it stays as it was; it is None
    where reading anew is switched off.
    """

    pages: Pages
    tail: Tail
    telemetry: Telemetry
    unready: Callable[[], str]
    landing: Callable[[], Awaitable[Page]]
    config: Callable[[], str] = field(repr=False)
    reload: Callable[[], Awaitable[None]] | None = None
    middlewares: Sequence[Middleware] = ()


_SITE: Final = web.RequestKey("site", Site)


def application(site: Callable[[], Site]) -> web.Application:
    """Return the application; ``site`` is asked at each request, so that it can be replaced whole."""
    app = web.Application(middlewares=[_guard, _passing(site)], client_max_size=1024)
    routes = _Routes()
    app.add_routes(
        [
            web.get("/metrics", routes.metrics),
            web.get("/", routes.landing),
            web.get("/config", routes.config),
            web.get("/-/healthy", routes.healthy),
            web.get("/-/ready", routes.ready),
            web.post("/-/reload", routes.reload),
            web.put("/-/reload", routes.reload),
        ]
    )
    return app


def _passing(site: Callable[[], Site]) -> Middleware:
    """Return a middleware that stands for those of the site as it is at each request."""

    @web.middleware
    async def passing(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Who was let in by one configuration is answered by it, also where it was replaced in between.
        now = request[_SITE] = site()
        for one in reversed(now.middlewares):
            handler = partial(one, handler=handler)
        return await handler(request)

    return passing


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer safe headers, and every fault a short text."""
    if isinstance(request.protocol, Connection):
        request.protocol.begun()
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        response = web.Response(
            text=f"{refusal.status} {refusal.reason}\n", status=refusal.status, headers=_kept(refusal)
        )
    except Exception:
        # The client learns nothing of what is inside.
        logger.exception("A request failed.", extra={"path": request.path})
        response = web.Response(text="500 Internal Server Error\n", status=500)
    make_safe(response)
    return response


def _kept(refusal: web.HTTPException) -> dict[str, str]:
    names = (hdrs.ALLOW, hdrs.WWW_AUTHENTICATE, hdrs.RETRY_AFTER, hdrs.LOCATION)
    return {name: refusal.headers[name] for name in names if name in refusal.headers}


class _Routes:
    """The handlers."""

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape."""
        site = request[_SITE]
        began = perf_counter()
        response = _scraped(request, site)
        site.telemetry.scraped(response.status, perf_counter() - began)
        return response

    async def landing(self, request: web.Request) -> web.Response:
        """Answer a browser."""
        page = await request[_SITE].landing()
        headers: dict[str, str] = {"Content-Security-Policy": page.policy, **_FRESH}
        response = web.Response(body=page.body, content_type="text/html", charset="utf-8", headers=headers)
        if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def config(self, request: web.Request) -> web.Response:
        """Show the configuration without its secrets."""
        return _text(request[_SITE].config())

    async def healthy(self, _: web.Request) -> web.Response:
        """Say that the process lives."""
        return _text("Healthy.")

    async def ready(self, request: web.Request) -> web.Response:
        """Say whether fresh numbers are served."""
        why = request[_SITE].unready()
        return _text(why, HTTPStatus.SERVICE_UNAVAILABLE) if why else _text("Ready.")

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration anew."""
        reload = request[_SITE].reload
        if reload is None:
            return _text("Reading anew is switched off; set server.enable_reload.", HTTPStatus.FORBIDDEN)
        try:
            await reload()
        except ConfigError as error:
            kept = f"The configuration stays as it was:\n{error}"
            return _text(kept, HTTPStatus.INTERNAL_SERVER_ERROR)
        return _text("Read anew.")


def _scraped(request: web.Request, site: Site) -> web.Response:
    wanted = frozenset(request.query.getall("collect[]", ()))
    if unknown := sorted(wanted - COLLECTORS):
        known = ", ".join(sorted(COLLECTORS))
        return _text(f"Unknown collector {unknown[0][:100]!r}. Expected {known}.", HTTPStatus.BAD_REQUEST)
    form = preferred_format(request.headers.get(hdrs.ACCEPT, ""))
    gzip = accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    tail = site.tail.text(form) if not wanted or "exporter" in wanted else b""
    body = Parts(site.pages.parts(form, collectors=wanted, gzip=gzip, tail=tail))
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: str(form), hdrs.VARY: "Accept, Accept-Encoding"}
    if gzip:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, headers=headers)


def _text(text: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=f"{text.rstrip()}\n", status=status, headers=_FRESH)
