"""The HTTP server of a simulated deployment: routing, authentication, rate limit and faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ssl import SSLContext
from typing import Any, Final

from aiohttp import web

from insights_exporter.simulator.api import system_routes
from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import RequestContext, SimulatedDeployment
from insights_exporter.simulator.api.encoding import (
    METRICS_CONTENT_TYPE,
    encode,
    error_response,
    json_response,
)
from insights_exporter.simulator.api.errors import ApiError, invalid_uuid, rate_limited, route_not_found
from insights_exporter.simulator.api.fault_injection import Fault
from insights_exporter.simulator.api.images import add_image_routes
from insights_exporter.simulator.api.query_params import QueryParams, uuid_error
from insights_exporter.simulator.api.responses import fault_response, redirect_response, send
from insights_exporter.simulator.api.routes import ROUTES, Route
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.coderd.metric_vectors import DuplicateMetricError

__all__ = [
    "METRICS_ROUTE",
    "build_info_handler",
    "create_app",
    "create_metrics_app",
    "route_handler",
    "serve",
    "serve_metrics",
]

METRICS_ROUTE: Final = "(metrics)"
"""The name of coderd's Prometheus endpoint in faults and request counts."""

_BASE: Final = "/api/v2"
_TLS_HANDSHAKE: Final = b"\x16"
"""The first byte of a TLS connection."""
_PLAIN_HTTP_BODY: Final = b"Client sent an HTTP request to an HTTPS server.\n"

Handler = Callable[[web.Request], Any]


def create_app(deployment: SimulatedDeployment) -> web.Application:
    """Return the application with the API's routes."""
    app = web.Application()
    app.router.add_get("/healthz", _ok)
    app.router.add_get("/latency-check", _ok)
    app.router.add_get(_BASE + "/buildinfo", build_info_handler(deployment))
    for route in ROUTES:
        handler = route_handler(deployment, route)
        for pattern in route.patterns:
            app.router.add_route(route.method, _BASE + pattern, handler)
    add_image_routes(app)
    app.router.add_route("*", "/{anything:.*}", _not_found_handler(deployment))
    return app


def create_metrics_app(deployment: SimulatedDeployment) -> web.Application:
    """Return the application of coderd's Prometheus endpoint: every path answers, without authentication."""

    async def handle(request: web.Request) -> web.StreamResponse:
        deployment.request_counts[METRICS_ROUTE] = deployment.request_counts.get(METRICS_ROUTE, 0) + 1
        faults = deployment.faults.next_faults(METRICS_ROUTE)
        if (response := await fault_response(deployment, request, faults)) is not None:
            return response
        now = deployment.now()
        try:
            body = await asyncio.to_thread(lambda: deployment.metrics.render(now).encode())
        except DuplicateMetricError as error:
            return _gather_error_response(error)
        return await send(deployment, request, _text_response(body), faults, api_headers=False)

    app = web.Application()
    app.router.add_get("/{anything:.*}", handle)
    return app


def serve(
    deployment: SimulatedDeployment,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: SSLContext | None = None,
) -> AbstractAsyncContextManager[str]:
    """Serve the API within the context and yield its URL; port 0 selects a free port.

    With an ``ssl_context`` the server requires TLS and answers plain HTTP requests with 400, as Go's does.
    """
    return _run_app(create_app(deployment), host, port, ssl_context)


def serve_metrics(
    deployment: SimulatedDeployment, *, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[str]:
    """Serve coderd's Prometheus endpoint within the context and yield its URL; port 0 selects a free port."""
    return _run_app(create_metrics_app(deployment), host, port, None)


@asynccontextmanager
async def _run_app(
    app: web.Application, host: str, port: int, ssl_context: SSLContext | None
) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        if ssl_context is None:
            await web.TCPSite(runner, host, port).start()
            yield f"http://{host}:{runner.addresses[0][1]}"
            return
        with socket.create_server((host, port)) as listener:
            listener.setblocking(False)
            accept_task = asyncio.create_task(_accept_tls(listener, _protocol_factory(runner), ssl_context))
            try:
                yield f"https://{host}:{listener.getsockname()[1]}"
            finally:
                accept_task.cancel()
                await asyncio.wait((accept_task,))
    finally:
        await runner.cleanup()


def _protocol_factory(runner: web.AppRunner) -> Callable[[], asyncio.BaseProtocol]:
    if runner.server is None:
        raise RuntimeError("The runner must be set up first.")
    return runner.server


async def _accept_tls(
    listener: socket.socket, factory: Callable[[], asyncio.BaseProtocol], ssl_context: SSLContext
) -> None:
    """Accept connections until cancelled; those without a TLS handshake get Go's plain-text 400."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        while True:
            connection, _ = await loop.sock_accept(listener)
            group.create_task(_start_connection(connection, factory, ssl_context))


async def _start_connection(
    connection: socket.socket, factory: Callable[[], asyncio.BaseProtocol], ssl_context: SSLContext
) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    except asyncio.CancelledError:
        loop.remove_reader(connection)
        connection.close()
        raise
    loop.remove_reader(connection)
    # A client that closes the connection or rejects the certificate reports the error itself.
    with contextlib.suppress(OSError):
        if connection.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            await loop.connect_accepted_socket(factory, connection, ssl=ssl_context)
            return
        with connection:
            head = f"HTTP/1.0 400 Bad Request\r\nContent-Length: {len(_PLAIN_HTTP_BODY)}\r\n\r\n"
            await loop.sock_recv(connection, 1 << 16)
            await loop.sock_sendall(connection, head.encode() + _PLAIN_HTTP_BODY)


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="OK")


def _access_url(deployment: SimulatedDeployment, request: web.Request) -> str:
    return deployment.options.access_url or str(request.url.origin())


def build_info_handler(deployment: SimulatedDeployment) -> Handler:
    """Return the handler of the one API route without authentication."""

    async def handle(request: web.Request) -> web.StreamResponse:
        faults = deployment.faults.next_faults("/buildinfo")
        if (response := await _early_response(deployment, request, faults)) is not None:
            return response
        payload = system_routes.build_info(deployment, _access_url(deployment, request))

        async def respond() -> web.Response:
            return json_response(payload)

        return await send(deployment, request, await _apply_rate_limit(deployment, request, respond), faults)

    return handle


def _not_found_handler(deployment: SimulatedDeployment) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if (response := await _early_response(deployment, request, [])) is not None:
            return response

        async def respond() -> web.Response:
            raise route_not_found()

        return await send(deployment, request, await _apply_rate_limit(deployment, request, respond), [])

    return handle


def route_handler(deployment: SimulatedDeployment, route: Route) -> Handler:
    """Return the handler of a route, including faults and the rate limit."""

    async def handle(request: web.Request) -> web.StreamResponse:
        deployment.request_counts[route.path] = deployment.request_counts.get(route.path, 0) + 1
        faults = deployment.faults.next_faults(route.path, f"{route.method} {route.path}")
        if (response := await _early_response(deployment, request, faults)) is not None:
            return response

        async def respond() -> web.Response:
            return await _call_route(deployment, request, route)

        return await send(deployment, request, await _apply_rate_limit(deployment, request, respond), faults)

    return handle


async def _early_response(
    deployment: SimulatedDeployment, request: web.Request, faults: list[Fault]
) -> web.Response | None:
    """Return the response of a fault or of the redirect to the access URL; None to call the route."""
    if (response := await fault_response(deployment, request, faults)) is not None:
        return response
    options = deployment.options
    if options.redirect_to_access_url and str(request.url.origin()) != options.access_url:
        return redirect_response(deployment, options.access_url)
    return None


async def _apply_rate_limit(
    deployment: SimulatedDeployment, request: web.Request, respond: Callable[[], Awaitable[web.Response]]
) -> web.Response:
    """Return the response, or the error 429, with the rate limit headers."""
    caller = request.remote or ""
    if deployment.supports(Capability.LIMIT_PER_USER):
        caller = deployment.accounts.username_of(_session_token(deployment, request)) or caller
    limit_status = deployment.rate_limiter.acquire(request.path, caller)
    try:
        if limit_status and not limit_status.allowed:
            raise rate_limited(limit_status.limit)
        response = await respond()
    except ApiError as error:
        response = error_response(error)
    response.headers.update(limit_status.headers() if limit_status else {})
    return response


async def _call_route(deployment: SimulatedDeployment, request: web.Request, route: Route) -> web.Response:
    if route.since is not None and not deployment.supports(route.since):
        raise route_not_found()
    now = deployment.now()
    account = _authenticate(deployment, request)
    resource_id = request.match_info.get("id")
    has_name = resource_id is None or route.path.startswith("/organizations")
    if resource_id is not None and not has_name and (error := uuid_error(resource_id)):
        raise invalid_uuid(resource_id, error)
    context = RequestContext(
        deployment, account, QueryParams(request.query), request.match_info, await request.read(), now
    )
    if route.is_text:
        try:
            return _text_response(await asyncio.to_thread(lambda: route.handler(context).encode()))
        except DuplicateMetricError as error:
            return _gather_error_response(error)
    # A thread keeps the event loop responsive while a large world is computed.
    body = await asyncio.to_thread(lambda: encode(route.handler(context)))
    if route.status == 204:
        return web.Response(status=204)
    return web.Response(body=body, status=route.status, content_type="application/json", charset="utf-8")


def _text_response(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": METRICS_CONTENT_TYPE})


def _gather_error_response(error: DuplicateMetricError) -> web.Response:
    """Return the error of Prometheus' handler after a failed gathering."""
    return web.Response(status=500, text=f"An error has occurred while serving metrics:\n\n{error}\n")


def _authenticate(deployment: SimulatedDeployment, request: web.Request) -> Account:
    return deployment.accounts.authenticate(
        _session_token(deployment, request),
        now=deployment.now(),
        access_url=_access_url(deployment, request),
        tokens_slide=not deployment.supports(Capability.FIXED_TOKEN_EXPIRY),
    )


def _session_token(deployment: SimulatedDeployment, request: web.Request) -> str:
    bearer = ""
    if deployment.supports(Capability.BEARER_HEADER):
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        bearer = bearer if scheme == "Bearer" else ""
    return (
        request.cookies.get("coder_session_token")
        or request.query.get("coder_session_token")
        or request.headers.get("Coder-Session-Token")
        or bearer
        or request.query.get("access_token")
        or ""
    )
