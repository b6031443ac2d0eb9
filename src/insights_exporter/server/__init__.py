"""The exporter over HTTP."""

from __future__ import annotations

from insights_exporter.server.connections import ConnectionLimits
from insights_exporter.server.http_server import HttpServer
from insights_exporter.server.routes import AppContext, HtmlPage, create_app

__all__ = ["AppContext", "ConnectionLimits", "HtmlPage", "HttpServer", "create_app"]
