"""What stands on every answer, also on one to what is no request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

__all__ = ["make_safe"]

_SAFE: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}


def make_safe(response: web.StreamResponse) -> None:
    """Add the headers that no answer should lack, and name the server without its version."""
    for name, value in _SAFE.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = "insights_exporter"
