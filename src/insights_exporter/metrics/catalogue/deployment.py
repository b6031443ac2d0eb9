"""Families of the deployment collector: version, user accounts and license of the deployment."""

from __future__ import annotations

from functools import partial
from typing import Final

from insights_exporter.metrics.family import FamilyGroup, MetricType

_group = FamilyGroup("deployment")
_gauge = partial(_group.declare, MetricType.GAUGE)

USERS = _gauge(
    "users", "User accounts by status; up to one hour old.", ("status",), summable=frozenset(("status",))
)
LICENSE_FEATURE_LIMIT = _gauge(
    "license_feature_limit",
    "Limit of a licensed feature, such as user_limit for seats; absent if it is unlimited or not licensed.",
    ("feature",),
)
LICENSE_FEATURE_USED = _gauge(
    "license_feature_used",
    "Use of a licensed feature as Coder counts it for the license, such as user_limit for taken seats.",
    ("feature",),
)
DEPLOYMENT_INFO = _group.declare(
    MetricType.INFO,
    "deployment_info",
    "Version, URL and id of the Coder deployment; always 1.",
    ("version", "dashboard_url", "deployment_id"),
)

DEPLOYMENT_FAMILIES: Final = _group.families
