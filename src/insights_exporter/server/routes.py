"""Routes of the HTTP server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from aiohttp.typedefs import Handler, Middleware

from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import COLLECTORS, Exposition
from insights_exporter.server.connections import Connection
from insights_exporter.server.content_negotiation import accepts_gzip, preferred_format
from insights_exporter.server.security_headers import apply_security_headers
from insights_exporter.telemetry import Telemetry

__all__ = ["AppContext", "HtmlPage", "create_app"]

logger = structlog.stdlib.get_logger(__name__)

_NO_STORE: Final[Mapping[str, str]] = {hdrs.CACHE_CONTROL: "no-store"}


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """An HTML page and its Content-Security-Policy."""

    body: bytes
    content_security_policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """Dependencies of the routes under one configuration.

    ``self_metrics`` encodes the exporter's own metrics. ``not_ready_reason`` returns why the exporter serves
    no fresh data; an empty text means ready. ``config`` returns the configuration with secrets redacted.
    ``reload`` reloads the configuration, and raises ConfigError if that fails; None disables the route.
    """

    exposition: Exposition
    self_metrics: Callable[[Format], bytes]
    telemetry: Telemetry
    not_ready_reason: Callable[[], str]
    landing_page: Callable[[], Awaitable[HtmlPage]]
    config: Callable[[], str] = field(repr=False)
    reload: Callable[[], Awaitable[None]] | None = None
    middlewares: Sequence[Middleware] = ()


_CONTEXT_KEY: Final = web.RequestKey("context", AppContext)


def create_app(get_context: Callable[[], AppContext], *, metrics_path: str = "/metrics") -> web.Application:
    """Return the application; ``get_context`` is called for each request, so a reload can replace it."""
    app = web.Application(
        middlewares=[_error_middleware, _context_middleware(get_context)], client_max_size=1024
    )
    routes = _Routes()
    app.add_routes(
        [
            web.get(metrics_path, routes.metrics),
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
    """Return a middleware that runs the middlewares of the current context."""

    @web.middleware
    async def run_middlewares(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A request is authorized and answered by the same context, even if a reload happens in between.
        context = request[_CONTEXT_KEY] = get_context()
        # Errors become responses inside of the middlewares too, because these add headers to responses.
        handler = partial(_respond, handler=handler)
        for middleware in reversed(context.middlewares):
            handler = partial(middleware, handler=handler)
        return await handler(request)

    return run_middlewares


@web.middleware
async def _error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add security headers to every response, and turn errors into one line of text."""
    if isinstance(request.protocol, Connection):
        request.protocol.request_started()
    response = await _respond(request, handler)
    apply_security_headers(response)
    return response


async def _respond(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the response of a handler, or one line of text for an error."""
    try:
        return await handler(request)
    except web.HTTPException as http_error:
        return web.Response(
            text=f"{http_error.status} {http_error.reason}\n",
            status=http_error.status,
            headers=_forwarded_headers(http_error),
        )
    except Exception:
        # The response must not reveal internals; the log has the traceback.
        logger.exception("request failed", path=request.path)
        return web.Response(text="500 Internal Server Error\n", status=500)


def _forwarded_headers(http_error: web.HTTPException) -> dict[str, str]:
    names = (hdrs.ALLOW, hdrs.WWW_AUTHENTICATE, hdrs.RETRY_AFTER, hdrs.LOCATION)
    return {name: http_error.headers[name] for name in names if name in http_error.headers}


class _ChunkedBody(Payload):
    """A body in chunks that are sent one by one, because joining large chunks takes longer than sending."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        super().__init__(chunks)
        self._chunks = chunks
        self._size = sum(len(chunk) for chunk in chunks)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text."""
        return b"".join(self._chunks).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the chunks."""
        for chunk in self._chunks:
            await writer.write(chunk)


class _Routes:
    """Request handlers."""

    async def metrics(self, request: web.Request) -> web.Response:
        """Return metrics."""
        context = request[_CONTEXT_KEY]
        started = perf_counter()
        response = _metrics_response(request, context)
        context.telemetry.scrape_finished(response.status, perf_counter() - started)
        return response

    async def landing(self, request: web.Request) -> web.Response:
        """Return the landing page."""
        html_page = await request[_CONTEXT_KEY].landing_page()
        headers: dict[str, str] = {"Content-Security-Policy": html_page.content_security_policy, **_NO_STORE}
        response = web.Response(
            body=html_page.body, content_type="text/html", charset="utf-8", headers=headers
        )
        if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def config(self, request: web.Request) -> web.Response:
        """Return the configuration with secrets redacted."""
        return _text_response(request[_CONTEXT_KEY].config())

    async def healthy(self, _: web.Request) -> web.Response:
        """Return 200 while the process runs."""
        return _text_response("Healthy.")

    async def ready(self, request: web.Request) -> web.Response:
        """Return 200 if fresh data is served, else 503 with the reason."""
        reason = request[_CONTEXT_KEY].not_ready_reason()
        return _text_response(reason, HTTPStatus.SERVICE_UNAVAILABLE) if reason else _text_response("Ready.")

    async def reload(self, request: web.Request) -> web.Response:
        """Reload the configuration."""
        reload = request[_CONTEXT_KEY].reload
        if reload is None:
            return _text_response(
                "Reload is disabled. Set server.enable_reload to enable it.", HTTPStatus.FORBIDDEN
            )
        try:
            await reload()
        except ConfigError as error:
            message = f"Reload failed. The previous configuration stays active.\n{error}"
            return _text_response(message, HTTPStatus.INTERNAL_SERVER_ERROR)
        return _text_response("Configuration reloaded.")


def _metrics_response(request: web.Request, context: AppContext) -> web.Response:
    requested = frozenset(request.query.getall("collect[]", ()))
    if unknown := sorted(requested - COLLECTORS):
        known = ", ".join(sorted(COLLECTORS))
        return _text_response(
            f"collect[]: expected one of {known}, got {unknown[0][:100]!r}", HTTPStatus.BAD_REQUEST
        )
    exposition_format = preferred_format(request.headers.get(hdrs.ACCEPT, ""))
    gzip = accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    self_metrics = (
        context.self_metrics(exposition_format) if not requested or "exporter" in requested else b""
    )
    body = _ChunkedBody(
        context.exposition.chunks(
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
