"""The deployment as a whole: its version, its users, its licence."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.family import PREFIX, Family, MetricType

__all__ = ["DEPLOYMENT_INFO", "FAMILIES", "LICENSE_USER_LIMIT", "USERS"]

_COLLECTOR = "deployment"

USERS = Family(
    PREFIX + "users",
    MetricType.GAUGE,
    "User accounts by status.",
    ("status",),
    summable=frozenset(("status",)),
    collector=_COLLECTOR,
)
LICENSE_USER_LIMIT = Family(
    PREFIX + "license_user_limit",
    MetricType.GAUGE,
    "Seats that the licence grants; absent without a licence that limits them.",
    collector=_COLLECTOR,
)
DEPLOYMENT_INFO = Family(
    PREFIX + "deployment_info",
    MetricType.INFO,
    "Version, address and id of the Coder deployment; always 1.",
    ("version", "dashboard_url", "deployment_id"),
    collector=_COLLECTOR,
)

FAMILIES: Final = (USERS, LICENSE_USER_LIMIT, DEPLOYMENT_INFO)
"""All families of this room, in the order in which they are served."""
