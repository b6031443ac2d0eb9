"""What describes the exporter to a receiver."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from insights_exporter import __version__

__all__ = ["SERVICE", "resource"]

SERVICE = "insights-exporter"


def resource(configured: Mapping[str, str], *, deployment: str = "") -> Resource:
    """Return the attributes: ours, then those of the standard variables, then the configured ones, which win.

    The instance goes by the name of its host, so that a restart is still the same one.
    """
    ours = {
        "service.name": SERVICE,
        "service.version": __version__,
        "service.instance.id": socket.gethostname(),
    }
    if deployment:
        ours["coder.deployment.id"] = deployment
    return Resource(ours).merge(OTELResourceDetector().detect()).merge(Resource(dict(configured)))
