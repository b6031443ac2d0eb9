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
from insights_exporter.metrics.encoder.text import Format
from insights_exporter.metrics.exposition import COLLECTORS
from insights_exporter.server.connections import Connection
from insights_exporter.server.content_negotiation import accepts_gzip, preferred_format
from insights_exporter.server.parts import ChunkedBody
from insights_exporter.server.security_headers import apply_security_headers
from insights_exporter.telemetry import Telemetry

__all__ = ["AppContext", "HtmlPage", "MetricsBody", "SelfMetrics", "create_app"]

logger = logging.getLogger(__name__)

_NO_STORE: Final[Mapping[str, str]] = {hdrs.CACHE_CONTROL: "no-store"}


class MetricsBody(Protocol):
    """The rendered pages."""

    def chunks(
        self, exposition_format: Format, *, collectors: frozenset[str] = ..., gzip: bool, self_metrics: bytes
    ) -> Sequence[bytes]:
        """Return what a scrape gets, in parts, the tail at its end; no collectors mean all of them."""
        ...


class SelfMetrics(Protocol):
    """The exporter's own metrics."""

    def encode(self, exposition_format: Format) -> bytes:
        """Return them as they stand now."""
        ...


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page for people, with the policy that its own style needs."""

    body: bytes
    content_security_policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """What the routes need; ``unready`` returns why no fresh numbers are served, or nothing.

    ``reload`` reads the configuration anew and raises ConfigError where it stays as it was; it is None
    where reading anew is switched off.
    """

    metrics_body: MetricsBody
    self_metrics: SelfMetrics
    telemetry: Telemetry
    not_ready_reason: Callable[[], str]
    landing_page: Callable[[], Awaitable[HtmlPage]]
    config: Callable[[], str] = field(repr=False)
    reload: Callable[[], Awaitable[None]] | None = None
    middlewares: Sequence[Middleware] = ()


_CONTEXT_KEY: Final = web.RequestKey("site", AppContext)


def create_app(get_context: Callable[[], AppContext]) -> web.Application:
    """Return the application; ``site`` is asked at each request, so that it can be replaced whole."""
    app = web.Application(
        middlewares=[_error_middleware, _context_middleware(get_context)], client_max_size=1024
    )
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


def _context_middleware(get_context: Callable[[], AppContext]) -> Middleware:
    """Return a middleware that stands for those of the site as it is at each request."""

    @web.middleware
    async def run_middlewares(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Who was let in by one configuration is answered by it, also where it was replaced in between.
        context = request[_CONTEXT_KEY] = get_context()
        for middleware in reversed(context.middlewares):
            handler = partial(middleware, handler=handler)
        return await handler(request)

    return run_middlewares


@web.middleware
async def _error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer safe headers, and every fault a short text."""
    if isinstance(request.protocol, Connection):
        request.protocol.request_started()
    try:
        response = await handler(request)
    except web.HTTPException as http_error:
        response = web.Response(
            text=f"{http_error.status} {http_error.reason}\n",
            status=http_error.status,
            headers=_forwarded_headers(http_error),
        )
    except Exception:
        # The client learns nothing of what is inside.
        logger.exception("A request failed.", extra={"path": request.path})
        response = web.Response(text="500 Internal Server Error\n", status=500)
    apply_security_headers(response)
    return response


def _forwarded_headers(http_error: web.HTTPException) -> dict[str, str]:
    names = (hdrs.ALLOW, hdrs.WWW_AUTHENTICATE, hdrs.RETRY_AFTER, hdrs.LOCATION)
    return {name: http_error.headers[name] for name in names if name in http_error.headers}


class _Routes:
    """The handlers."""

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape."""
        context = request[_CONTEXT_KEY]
        started = perf_counter()
        response = _metrics_response(request, context)
        context.telemetry.scrape_finished(response.status, perf_counter() - started)
        return response

    async def landing(self, request: web.Request) -> web.Response:
        """Answer a browser."""
        html_page = await request[_CONTEXT_KEY].landing_page()
        headers: dict[str, str] = {"Content-Security-Policy": html_page.content_security_policy, **_NO_STORE}
        response = web.Response(
            body=html_page.body, content_type="text/html", charset="utf-8", headers=headers
        )
        if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def config(self, request: web.Request) -> web.Response:
        """Show the configuration without its secrets."""
        return _text_response(request[_CONTEXT_KEY].config())

    async def healthy(self, _: web.Request) -> web.Response:
        """Say that the process lives."""
        return _text_response("Healthy.")

    async def ready(self, request: web.Request) -> web.Response:
        """Say whether fresh numbers are served."""
        reason = request[_CONTEXT_KEY].not_ready_reason()
        return _text_response(reason, HTTPStatus.SERVICE_UNAVAILABLE) if reason else _text_response("Ready.")

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration anew."""
        reload = request[_CONTEXT_KEY].reload
        if reload is None:
            return _text_response(
                "Reading anew is switched off; set server.enable_reload.", HTTPStatus.FORBIDDEN
            )
        try:
            await reload()
        except ConfigError as error:
            message = f"The configuration stays as it was:\n{error}"
            return _text_response(message, HTTPStatus.INTERNAL_SERVER_ERROR)
        return _text_response("Read anew.")


def _metrics_response(request: web.Request, context: AppContext) -> web.Response:
    requested = frozenset(request.query.getall("collect[]", ()))
    if unknown := sorted(requested - COLLECTORS):
        known = ", ".join(sorted(COLLECTORS))
        return _text_response(
            f"Unknown collector {unknown[0][:100]!r}. Expected {known}.", HTTPStatus.BAD_REQUEST
        )
    exposition_format = preferred_format(request.headers.get(hdrs.ACCEPT, ""))
    gzip = accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    self_metrics = (
        context.self_metrics.encode(exposition_format) if not requested or "exporter" in requested else b""
    )
    body = ChunkedBody(
        context.metrics_body.chunks(
            exposition_format, collectors=requested, gzip=gzip, self_metrics=self_metrics
        )
    )
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: str(exposition_format),
        hdrs.VARY: "Accept, Accept-Encoding",
    }
    if gzip:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, headers=headers)


def _text_response(text: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=f"{text.rstrip()}\n", status=status, headers=_NO_STORE)
