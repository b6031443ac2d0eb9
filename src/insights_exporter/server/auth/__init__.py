"""Access control of the HTTP server: TLS, logins, bearer token, headers and rate limits.

Configured by the web configuration file, in the format of Prometheus' exporter-toolkit.
"""

from __future__ import annotations

from insights_exporter.server.auth.middleware import create_middlewares
from insights_exporter.server.auth.rate_limit import AuthState
from insights_exporter.server.auth.tls import reloading_context
from insights_exporter.server.auth.web_config import WebConfig, WebConfigReloader, load_web_config

__all__ = [
    "AuthState",
    "WebConfig",
    "WebConfigReloader",
    "create_middlewares",
    "load_web_config",
    "reloading_context",
]
