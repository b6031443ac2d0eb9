"""Responses with Coder's headers, and the faults that replace or corrupt them."""

from __future__ import annotations

import asyncio
from email.utils import format_datetime
from typing import Final
from uuid import uuid4

from aiohttp import web

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.encoding import json_response
from insights_exporter.simulator.api.errors import ErrorBody
from insights_exporter.simulator.api.fault_injection import (
    Delay,
    DeleteTemplate,
    DropConnection,
    Fault,
    LoginPage,
    Redirect,
    Status,
)
from insights_exporter.simulator.api.response_corruption import corrupt_response

__all__ = ["fault_response", "redirect_response", "send"]

_LOGIN_HTML: Final = "<!doctype html><title>Sign in</title><form method=post><input name=user></form>"


def _add_standard_headers(deployment: SimulatedDeployment, response: web.Response) -> web.Response:
    """Add the headers that every response of Coder has; bodies are chunked, as Coder's are."""
    response.headers.update(
        {
            "X-Coder-Build-Version": deployment.release.version,
            "X-Coder-Request-Id": str(uuid4()),
            "X-Content-Type-Options": "nosniff",
            "Set-Cookie": "csrf_token=c2ltdWxhdGVk; Path=/; HttpOnly; SameSite=Lax",
            # The simulated time, which tests set. Clients correct their clock by it.
            "Date": format_datetime(deployment.now(), usegmt=True),
        }
    )
    response.headers.extend((("Vary", "Origin"), ("Vary", "Cookie")))
    response.enable_chunked_encoding()
    return response


async def fault_response(
    deployment: SimulatedDeployment, request: web.Request, faults: list[Fault]
) -> web.Response | None:
    """Return the response of a fault that precedes the route; None if there is none.

    Delays pass here, too.
    """
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


def redirect_response(deployment: SimulatedDeployment, url: str) -> web.Response:
    """Return Coder's redirect to the access URL, which loses the path."""
    return _add_standard_headers(deployment, web.Response(status=307, headers={"Location": url}))


async def send(
    deployment: SimulatedDeployment,
    request: web.Request,
    response: web.Response,
    faults: list[Fault],
    *,
    api_headers: bool = True,
) -> web.StreamResponse:
    """Return the response with the faults that corrupt it, and with the API's standard headers."""
    if api_headers:
        _add_standard_headers(deployment, response)
    body = response.body
    if not faults or not isinstance(body, bytes):
        return response
    for fault in faults:
        body = corrupt_response(body, fault)
    response.body = body
    for fault in faults:
        if isinstance(fault, DropConnection):
            return await _stream_truncated(request, response, body, fault.after_bytes)
    return response


async def _stream_truncated(
    request: web.Request, response: web.Response, body: bytes, size: int | None
) -> web.StreamResponse:
    """Send the first bytes of the body and close the connection."""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(body)
    await stream.prepare(request)
    await stream.write(body[:size])
    if request.transport is not None:
        request.transport.abort()
    return stream
