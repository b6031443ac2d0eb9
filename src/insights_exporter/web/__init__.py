"""Who may talk to the exporter, and how: TLS, logins, headers, rate; told in a web configuration file."""

from __future__ import annotations

from insights_exporter.web.config import WebConfig, load
from insights_exporter.web.gate import middlewares
from insights_exporter.web.source import WebSource
from insights_exporter.web.tls import reloading_context
from insights_exporter.web.visitors import Visitors

__all__ = ["Visitors", "WebConfig", "WebSource", "load", "middlewares", "reloading_context"]
