"""What describes the exporter to a receiver."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from insights_exporter import __version__

__all__ = ["SERVICE_NAME", "build_resource"]

SERVICE_NAME = "insights-exporter"


def build_resource(configured: Mapping[str, str], *, deployment_id: str = "") -> Resource:
    """Return the attributes: ours, then those of the standard variables, then the configured ones, which win.

    The instance goes by the name of its host, so that a restart is still the same one.
    """
    defaults = {
        "service.name": SERVICE_NAME,
        "service.version": __version__,
        "service.instance.id": socket.gethostname(),
    }
    if deployment_id:
        defaults["coder.deployment.id"] = deployment_id
    return Resource(defaults).merge(OTELResourceDetector().detect()).merge(Resource(dict(configured)))
