"""The exporter over HTTP."""

from __future__ import annotations

from insights_exporter.server.connections import Patience
from insights_exporter.server.listening import Listening
from insights_exporter.server.routes import Page, Site, application

__all__ = ["Listening", "Page", "Patience", "Site", "application"]
