"""Security headers of every response.

A module of its own, because both ``connections`` and ``routes`` apply them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

__all__ = ["BASE_CONTENT_SECURITY_POLICY", "apply_security_headers"]

BASE_CONTENT_SECURITY_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
"""Policy of all responses; the landing page adds its stylesheet."""

_SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": BASE_CONTENT_SECURITY_POLICY,
}


def apply_security_headers(response: web.StreamResponse) -> None:
    """Add the missing security headers, and a Server header without a version."""
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = "insights_exporter"
