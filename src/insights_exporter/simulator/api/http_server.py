"""The simulated deployment as an aiohttp application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from insights_exporter.simulator.api import insights_routes, inventory_routes, system_routes
from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import RequestContext, SimulatedDeployment
from insights_exporter.simulator.api.encoding import (
    METRICS_CONTENT_TYPE,
    encode,
    error_response,
    json_response,
)
from insights_exporter.simulator.api.errors import (
    ApiError,
    ErrorBody,
    invalid_uuid,
    rate_limited,
    route_not_found,
)
from insights_exporter.simulator.api.fault_injection import (
    Delay,
    DeleteTemplate,
    DropConnection,
    Fault,
    LoginPage,
    Redirect,
    SlowBody,
    Status,
)
from insights_exporter.simulator.api.query_params import QueryParams, parse_uuid
from insights_exporter.simulator.api.response_corruption import corrupt_response
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.coderd.metric_vectors import DuplicateMetricError

__all__ = [
    "METRICS_ROUTE",
    "ROUTES",
    "build_info_handler",
    "create_app",
    "create_metrics_app",
    "route_handler",
    "serve",
    "serve_metrics",
]

METRICS_ROUTE = "(metrics)"
"""What faults and counts know the separate address of metrics by."""

_BASE = "/api/v2"
_LOGIN_HTML = "<!doctype html><title>Sign in</title><form method=post><input name=user></form>"


@dataclass(frozen=True, slots=True)
class Route:
    """A path below ``/api/v2`` with what answers it; the answer is text where ``text`` is set."""

    path: str
    handler: Callable[[RequestContext], Any]
    method: str = "GET"
    since: Capability | None = None
    is_text: bool = False


ROUTES = (
    Route("/users/me", system_routes.me),
    Route("/users/me/keys/tokens", system_routes.tokens),
    Route("/users/me/organizations", inventory_routes.my_organizations),
    Route("/users/{user}", inventory_routes.user),
    Route("/users", inventory_routes.users),
    Route("/authcheck", system_routes.authcheck, method="POST"),
    Route("/organizations", inventory_routes.organizations),
    Route("/organizations/{id}/templates", inventory_routes.organization_templates),
    Route("/templates", inventory_routes.templates),
    Route("/templates/{id}", inventory_routes.template),
    Route("/templates/{id}/daus", insights_routes.template_daus),
    Route("/templateversions/{id}/rich-parameters", inventory_routes.rich_parameters),
    Route("/workspaces", inventory_routes.workspaces),
    Route("/insights/templates", insights_routes.template_insights),
    Route("/insights/user-activity", insights_routes.user_activity),
    Route("/insights/user-latency", insights_routes.user_latency),
    Route("/insights/daus", insights_routes.daus),
    Route(
        "/insights/user-status-counts",
        insights_routes.user_status_counts,
        since=Capability.USER_STATUS_COUNTS,
    ),
    Route("/deployment/stats", system_routes.deployment_stats),
    Route("/debug/health", system_routes.health),
    Route("/debug/metrics", system_routes.debug_metrics, since=Capability.DEBUG_METRICS, is_text=True),
    Route("/entitlements", system_routes.entitlements),
)


def create_app(deployment: SimulatedDeployment) -> web.Application:
    """Return an application that answers for the deployment."""
    app = web.Application()
    app.router.add_get("/healthz", _ok)
    app.router.add_get("/latency-check", _ok)
    app.router.add_get(_BASE + "/buildinfo", build_info_handler(deployment))
    for route in ROUTES:
        app.router.add_route(route.method, _BASE + route.path, route_handler(deployment, route))
    app.router.add_route("*", "/{anything:.*}", _not_found_handler(deployment))
    return app


def create_metrics_app(deployment: SimulatedDeployment) -> web.Application:
    """Return an application that answers like coderd's address for Prometheus: any path, and no login."""

    async def handle(request: web.Request) -> web.StreamResponse:
        deployment.request_counts[METRICS_ROUTE] = deployment.request_counts.get(METRICS_ROUTE, 0) + 1
        faults = deployment.faults.next_faults(METRICS_ROUTE)
        if (fault_response := await _fault_response(deployment, request, faults)) is not None:
            return fault_response
        now = deployment.now()
        try:
            body = await asyncio.to_thread(lambda: deployment.metrics.render(now).encode())
        except DuplicateMetricError as error:
            return _gather_error_response(error)
        response = await _send(deployment, request, _text_response(body), faults)
        if not response.prepared:
            # Only the API names its version.
            response.headers.popall("X-Coder-Build-Version", None)
        return response

    app = web.Application()
    app.router.add_get("/{anything:.*}", handle)
    return app


def serve(
    deployment: SimulatedDeployment, *, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[str]:
    """Serve the deployment while the context lasts; yield its address. Port 0 takes a free one."""
    return _run_app(create_app(deployment), host, port)


def serve_metrics(
    deployment: SimulatedDeployment, *, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[str]:
    """Serve coderd's own metrics while the context lasts; yield their address. Port 0 takes a free one."""
    return _run_app(create_metrics_app(deployment), host, port)


@asynccontextmanager
async def _run_app(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = runner.addresses[0]
        yield f"http://{host}:{address[1]}"
    finally:
        await runner.cleanup()


Handler = Callable[[web.Request], Any]


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="OK")


def _access_url(deployment: SimulatedDeployment, request: web.Request) -> str:
    return deployment.options.access_url or str(request.url.origin())


def build_info_handler(deployment: SimulatedDeployment) -> Handler:
    """Return what answers the one route that needs no token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        faults = deployment.faults.next_faults("/buildinfo")
        if (fault_response := await _fault_response(deployment, request, faults)) is not None:
            return fault_response
        payload = system_routes.build_info(deployment.release.version, _access_url(deployment, request))

        async def respond() -> web.Response:
            return json_response(payload)

        return await _send(deployment, request, await _apply_rate_limit(deployment, request, respond), faults)

    return handle


def _not_found_handler(deployment: SimulatedDeployment) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        async def respond() -> web.Response:
            raise route_not_found()

        return await _send(deployment, request, await _apply_rate_limit(deployment, request, respond), [])

    return handle


def route_handler(deployment: SimulatedDeployment, route: Route) -> Handler:
    """Return what answers a route, faults and limits included."""

    async def handle(request: web.Request) -> web.StreamResponse:
        deployment.request_counts[route.path] = deployment.request_counts.get(route.path, 0) + 1
        faults = deployment.faults.next_faults(route.path)
        if (fault_response := await _fault_response(deployment, request, faults)) is not None:
            return fault_response

        async def respond() -> web.Response:
            return await _call_route(deployment, request, route)

        return await _send(deployment, request, await _apply_rate_limit(deployment, request, respond), faults)

    return handle


async def _apply_rate_limit(
    deployment: SimulatedDeployment, request: web.Request, respond: Callable[[], Awaitable[web.Response]]
) -> web.Response:
    """Return the answer or the refusal, with what is left of the caller's requests in its headers."""
    caller = request.remote or ""
    if deployment.supports(Capability.LIMIT_PER_USER):
        caller = _session_token(deployment, request).partition("-")[0] or caller
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
    if (
        resource_id is not None
        and not route.path.startswith("/organizations")
        and parse_uuid(resource_id) is None
    ):
        raise invalid_uuid(resource_id, name="id")
    context = RequestContext(
        deployment, account, QueryParams(request.query), request.match_info, await request.read(), now
    )
    if route.is_text:
        try:
            return _text_response(await asyncio.to_thread(lambda: route.handler(context).encode()))
        except DuplicateMetricError as error:
            return _gather_error_response(error)
    # Large worlds take their time; the loop serves others meanwhile.
    body = await asyncio.to_thread(lambda: encode(route.handler(context)))
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _text_response(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": METRICS_CONTENT_TYPE})


def _gather_error_response(error: DuplicateMetricError) -> web.Response:
    """Return what Prometheus' handler answers where it cannot gather everything."""
    return web.Response(status=500, text=f"An error has occurred while serving metrics:\n\n{error}\n")


def _authenticate(deployment: SimulatedDeployment, request: web.Request) -> Account:
    return deployment.accounts.authenticate(
        _session_token(deployment, request), now=deployment.now(), access_url=_access_url(deployment, request)
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


async def _fault_response(
    deployment: SimulatedDeployment, request: web.Request, faults: list[Fault]
) -> web.Response | None:
    """Return the answer of a fault that comes before anything else."""
    for fault in faults:
        match fault:
            case Delay():
                await asyncio.sleep(fault.seconds)
            case DropConnection(after_bytes=None):
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            case Status(html=True):
                return _add_standard_headers(
                    deployment,
                    web.Response(
                        status=fault.status, text=_LOGIN_HTML, content_type="text/html", headers=fault.headers
                    ),
                )
            case Status():
                response = json_response(ErrorBody(fault.message, fault.detail), status=fault.status)
                response.headers.update(fault.headers)
                return _add_standard_headers(deployment, response)
            case LoginPage():
                return web.Response(status=fault.status, text=_LOGIN_HTML, content_type="text/html")
            case Redirect():
                return web.Response(status=fault.status, headers={"Location": fault.location})
            case DeleteTemplate():
                deployment.deleted_template_ids.add(fault.template_id)
            case _:
                pass
    return None


def _add_standard_headers(deployment: SimulatedDeployment, response: web.Response) -> web.Response:
    response.headers["X-Coder-Build-Version"] = deployment.release.version
    # The deployment's own time, which tests move: clients correct their clock by it.
    response.headers["Date"] = format_datetime(deployment.now(), usegmt=True)
    return response


async def _send(
    deployment: SimulatedDeployment, request: web.Request, response: web.Response, faults: list[Fault]
) -> web.StreamResponse:
    _add_standard_headers(deployment, response)
    body = response.body
    if not faults or not isinstance(body, bytes):
        return response
    for fault in faults:
        body = corrupt_response(body, fault)
    response.body = body
    for fault in faults:
        if isinstance(fault, SlowBody | DropConnection):
            return await _stream_with_fault(request, response, body, fault)
    return response


async def _stream_with_fault(
    request: web.Request, response: web.Response, body: bytes, fault: SlowBody | DropConnection
) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(body)
    await stream.prepare(request)
    if isinstance(fault, DropConnection):
        await stream.write(body[: fault.after_bytes])
        if request.transport is not None:
            request.transport.abort()
        return stream
    for offset in range(0, len(body), fault.chunk_size):
        await stream.write(body[offset : offset + fault.chunk_size])
        await asyncio.sleep(fault.seconds)
    return stream
