"""The simulated deployment as an aiohttp application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from insights_exporter.simulator.api import insights, lists, system
from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import Call, SimulatedDeployment
from insights_exporter.simulator.api.distortion import distort
from insights_exporter.simulator.api.faults import (
    Delay,
    DeleteTemplate,
    Drip,
    Drop,
    Fault,
    LoginPage,
    Redirect,
    Status,
)
from insights_exporter.simulator.api.problem import (
    Problem,
    Refusal,
    invalid_id,
    rate_limited,
    route_missing,
)
from insights_exporter.simulator.api.query import Query, parse_uuid
from insights_exporter.simulator.api.release import Capability
from insights_exporter.simulator.api.wire import TEXT, encode, json_response, problem_response
from insights_exporter.simulator.coderd.vector import DuplicateError

__all__ = [
    "METRICS",
    "ROUTES",
    "build_info",
    "create_app",
    "create_metrics_app",
    "handler",
    "serve",
    "serve_metrics",
]

METRICS = "(metrics)"
"""What faults and counts know the separate address of metrics by."""

_BASE = "/api/v2"
_LOGIN = "<!doctype html><title>Sign in</title><form method=post><input name=user></form>"


@dataclass(frozen=True, slots=True)
class Route:
    """A path below ``/api/v2`` with what answers it; the answer is text where ``text`` is set."""

    path: str
    answer: Callable[[Call], Any]
    method: str = "GET"
    since: Capability | None = None
    text: bool = False


ROUTES = (
    Route("/users/me", system.me),
    Route("/users/me/keys/tokens", system.tokens),
    Route("/users/me/organizations", lists.own_organizations),
    Route("/users/{user}", lists.user),
    Route("/users", lists.users),
    Route("/authcheck", system.authcheck, method="POST"),
    Route("/organizations", lists.organizations),
    Route("/organizations/{id}/templates", lists.organization_templates),
    Route("/templates", lists.templates),
    Route("/templates/{id}", lists.template),
    Route("/templates/{id}/daus", insights.template_daus),
    Route("/templateversions/{id}/rich-parameters", lists.rich_parameters),
    Route("/workspaces", lists.workspaces),
    Route("/insights/templates", insights.template_insights),
    Route("/insights/user-activity", insights.user_activity),
    Route("/insights/user-latency", insights.user_latency),
    Route("/insights/daus", insights.daus),
    Route("/insights/user-status-counts", insights.user_status_counts, since=Capability.USER_STATUS_COUNTS),
    Route("/deployment/stats", system.deployment_stats),
    Route("/debug/health", system.health),
    Route("/debug/metrics", system.debug_metrics, since=Capability.DEBUG_METRICS, text=True),
    Route("/entitlements", system.entitlements),
)


def create_app(deployment: SimulatedDeployment) -> web.Application:
    """Return an application that answers for the deployment."""
    app = web.Application()
    app.router.add_get("/healthz", _ok)
    app.router.add_get("/latency-check", _ok)
    app.router.add_get(_BASE + "/buildinfo", build_info(deployment))
    for route in ROUTES:
        app.router.add_route(route.method, _BASE + route.path, handler(deployment, route))
    app.router.add_route("*", "/{anything:.*}", _missing(deployment))
    return app


def create_metrics_app(deployment: SimulatedDeployment) -> web.Application:
    """Return an application that answers like coderd's address for Prometheus: any path, and no login."""

    async def handle(request: web.Request) -> web.StreamResponse:
        deployment.calls[METRICS] = deployment.calls.get(METRICS, 0) + 1
        faults = deployment.faults.draw(METRICS)
        if (early := await _early(deployment, request, faults)) is not None:
            return early
        now = deployment.now()
        try:
            page = await asyncio.to_thread(lambda: deployment.metrics.page(now).encode())
        except DuplicateError as error:
            return _no_page(error)
        response = await _send(deployment, request, _text(page), faults)
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
    return _serving(create_app(deployment), host, port)


def serve_metrics(
    deployment: SimulatedDeployment, *, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[str]:
    """Serve coderd's own metrics while the context lasts; yield their address. Port 0 takes a free one."""
    return _serving(create_metrics_app(deployment), host, port)


@asynccontextmanager
async def _serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        found = runner.addresses[0]
        yield f"http://{host}:{found[1]}"
    finally:
        await runner.cleanup()


Handler = Callable[[web.Request], Any]


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="OK")


def _access_url(deployment: SimulatedDeployment, request: web.Request) -> str:
    return deployment.options.access_url or str(request.url.origin())


def build_info(deployment: SimulatedDeployment) -> Handler:
    """Return what answers the one route that needs no token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        faults = deployment.faults.draw("/buildinfo")
        if (early := await _early(deployment, request, faults)) is not None:
            return early
        told = system.build_info(deployment.release.text, _access_url(deployment, request))

        async def answer() -> web.Response:
            return json_response(told)

        return await _send(deployment, request, await _within_limit(deployment, request, answer), faults)

    return handle


def _missing(deployment: SimulatedDeployment) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        async def answer() -> web.Response:
            raise route_missing()

        return await _send(deployment, request, await _within_limit(deployment, request, answer), [])

    return handle


def handler(deployment: SimulatedDeployment, route: Route) -> Handler:
    """Return what answers a route, faults and limits included."""

    async def handle(request: web.Request) -> web.StreamResponse:
        deployment.calls[route.path] = deployment.calls.get(route.path, 0) + 1
        faults = deployment.faults.draw(route.path)
        if (early := await _early(deployment, request, faults)) is not None:
            return early

        async def answer() -> web.Response:
            return await _answer(deployment, request, route)

        return await _send(deployment, request, await _within_limit(deployment, request, answer), faults)

    return handle


async def _within_limit(
    deployment: SimulatedDeployment, request: web.Request, answer: Callable[[], Awaitable[web.Response]]
) -> web.Response:
    """Return the answer or the refusal, with what is left of the caller's requests in its headers."""
    caller = request.remote or ""
    if deployment.has(Capability.LIMIT_PER_USER):
        caller = _token(deployment, request).partition("-")[0] or caller
    budget = deployment.limiter.take(request.path, caller)
    try:
        if budget and not budget.allowed:
            raise rate_limited(budget.limit)
        response = await answer()
    except Problem as problem:
        response = problem_response(problem)
    response.headers.update(budget.headers() if budget else {})
    return response


async def _answer(deployment: SimulatedDeployment, request: web.Request, route: Route) -> web.Response:
    if route.since is not None and not deployment.has(route.since):
        raise route_missing()
    now = deployment.now()
    account = _account(deployment, request)
    identity = request.match_info.get("id")
    if identity is not None and not route.path.startswith("/organizations") and parse_uuid(identity) is None:
        raise invalid_id(identity, name="id")
    call = Call(deployment, account, Query(request.query), request.match_info, await request.read(), now)
    if route.text:
        try:
            return _text(await asyncio.to_thread(lambda: route.answer(call).encode()))
        except DuplicateError as error:
            return _no_page(error)
    # Large worlds take their time; the loop serves others meanwhile.
    body = await asyncio.to_thread(lambda: encode(route.answer(call)))
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _text(page: bytes) -> web.Response:
    return web.Response(body=page, headers={"Content-Type": TEXT})


def _no_page(error: DuplicateError) -> web.Response:
    """Return what Prometheus' handler answers where it cannot gather everything."""
    return web.Response(status=500, text=f"An error has occurred while serving metrics:\n\n{error}\n")


def _account(deployment: SimulatedDeployment, request: web.Request) -> Account:
    return deployment.accounts.authenticate(
        _token(deployment, request), now=deployment.now(), access_url=_access_url(deployment, request)
    )


def _token(deployment: SimulatedDeployment, request: web.Request) -> str:
    bearer = ""
    if deployment.has(Capability.BEARER_HEADER):
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


async def _early(
    deployment: SimulatedDeployment, request: web.Request, faults: list[Fault]
) -> web.Response | None:
    """Return the answer of a fault that comes before anything else."""
    for fault in faults:
        match fault:
            case Delay():
                await asyncio.sleep(fault.seconds)
            case Drop(after=None):
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            case Status(html=True):
                return _stamped(
                    deployment,
                    web.Response(
                        status=fault.status, text=_LOGIN, content_type="text/html", headers=fault.headers
                    ),
                )
            case Status():
                response = json_response(Refusal(fault.message, fault.detail), status=fault.status)
                response.headers.update(fault.headers)
                return _stamped(deployment, response)
            case LoginPage():
                return web.Response(status=fault.status, text=_LOGIN, content_type="text/html")
            case Redirect():
                return web.Response(status=fault.status, headers={"Location": fault.location})
            case DeleteTemplate():
                deployment.deleted.add(fault.template_id)
            case _:
                pass
    return None


def _stamped(deployment: SimulatedDeployment, response: web.Response) -> web.Response:
    response.headers["X-Coder-Build-Version"] = deployment.release.text
    # The deployment's own time, which tests move: clients correct their clock by it.
    response.headers["Date"] = format_datetime(deployment.now(), usegmt=True)
    return response


async def _send(
    deployment: SimulatedDeployment, request: web.Request, response: web.Response, faults: list[Fault]
) -> web.StreamResponse:
    _stamped(deployment, response)
    body = response.body
    if not faults or not isinstance(body, bytes):
        return response
    for fault in faults:
        body = distort(body, fault)
    response.body = body
    for fault in faults:
        if isinstance(fault, Drip | Drop):
            return await _trickle(request, response, body, fault)
    return response


async def _trickle(
    request: web.Request, response: web.Response, body: bytes, fault: Drip | Drop
) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(body)
    await stream.prepare(request)
    if isinstance(fault, Drop):
        await stream.write(body[: fault.after])
        if request.transport is not None:
            request.transport.abort()
        return stream
    for place in range(0, len(body), fault.size):
        await stream.write(body[place : place + fault.size])
        await asyncio.sleep(fault.seconds)
    return stream
