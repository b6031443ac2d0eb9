"""Bytes as Coder writes them."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from insights_exporter.simulator.api.problem import Problem

__all__ = ["TEXT", "encode", "json_response", "problem_response"]

TEXT = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
"""The media type of metrics."""

_ENCODER = msgspec.json.Encoder(uuid_format="canonical", decimal_format="number")

_ESCAPED = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def encode(answer: Any) -> bytes:
    """Return compact JSON with a newline at the end and what matters in HTML escaped."""
    body = _ENCODER.encode(answer)
    for plain, escaped in _ESCAPED:
        # These bytes occur only inside texts.
        if plain in body:
            body = body.replace(plain, escaped)
    return body + b"\n"


def json_response(answer: Any, *, status: int = 200) -> web.Response:
    """Return the answer as Coder sends it."""
    return web.Response(body=encode(answer), status=status, content_type="application/json", charset="utf-8")


def problem_response(problem: Problem) -> web.Response:
    """Return a refusal as Coder sends it."""
    response = json_response(problem.refusal, status=problem.status)
    response.headers.update(problem.headers)
    return response
