"""JSON encoding as in Coder's responses."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from insights_exporter.simulator.api.errors import ApiError

__all__ = ["METRICS_CONTENT_TYPE", "encode", "error_response", "json_response"]

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
"""The media type of Prometheus metrics."""

_ENCODER = msgspec.json.Encoder(uuid_format="canonical", decimal_format="number")

_HTML_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def encode(value: Any) -> bytes:
    """Return compact JSON with escaped HTML characters and a final newline, as Go's encoder."""
    body = _ENCODER.encode(value)
    for plain, escaped in _HTML_ESCAPES:
        # These bytes occur only inside JSON strings.
        if plain in body:
            body = body.replace(plain, escaped)
    return body + b"\n"


def json_response(value: Any, *, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=encode(value), status=status, content_type="application/json", charset="utf-8")


def error_response(error: ApiError) -> web.Response:
    """Return an error response."""
    response = json_response(error.body, status=error.status)
    response.headers.update(error.headers)
    return response
