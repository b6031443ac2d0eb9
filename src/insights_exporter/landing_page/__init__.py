"""The landing page: an HTML page that jinja2 templates render from a snapshot."""

from __future__ import annotations

from insights_exporter.landing_page.renderer import LandingPage
from insights_exporter.landing_page.status import CollectorState, ExporterStatus
from insights_exporter.landing_page.view_model import ViewOptions

__all__ = ["CollectorState", "ExporterStatus", "LandingPage", "ViewOptions"]
