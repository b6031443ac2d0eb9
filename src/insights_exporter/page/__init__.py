"""The landing page, written on the server from a snapshot."""

from __future__ import annotations

from insights_exporter.page.facts import Lens
from insights_exporter.page.landing import Landing
from insights_exporter.page.status import CollectorState, Status

__all__ = ["CollectorState", "Landing", "Lens", "Status"]
