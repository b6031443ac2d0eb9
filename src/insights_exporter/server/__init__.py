"""The HTTP server: routes, connection limits, TLS and authentication."""

from __future__ import annotations

from insights_exporter.server.connections import ConnectionLimits
from insights_exporter.server.http_server import HttpServer
from insights_exporter.server.routes import AppContext, HtmlPage, create_app
from insights_exporter.server.security_headers import BASE_CONTENT_SECURITY_POLICY

__all__ = [
    "BASE_CONTENT_SECURITY_POLICY",
    "AppContext",
    "ConnectionLimits",
    "HtmlPage",
    "HttpServer",
    "create_app",
]
