"""Who may talk to the exporter, and how: TLS, logins, headers, rate; told in a web configuration file."""

from __future__ import annotations

from insights_exporter.server.auth.middleware import create_middlewares
from insights_exporter.server.auth.reloader import WebConfigReloader
from insights_exporter.server.auth.tls import reloading_context
from insights_exporter.server.auth.web_config import WebConfig, load_web_config
from insights_exporter.web.visitors import AuthState

__all__ = [
    "AuthState",
    "WebConfig",
    "WebConfigReloader",
    "create_middlewares",
    "load_web_config",
    "reloading_context",
]
