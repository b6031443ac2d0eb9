"""Routes of the deployment: permissions, statistics, health and licence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from insights_exporter.simulator.api.deployment import RequestContext, SimulatedDeployment, format_timestamp
from insights_exporter.simulator.api.errors import (
    ApiError,
    ErrorBody,
    FieldError,
    forbidden,
    route_not_found,
)
from insights_exporter.simulator.api.query_params import uuid_error
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.rollup import percentile
from insights_exporter.simulator.usage import SESSION_FAMILIES

__all__ = ["authcheck", "build_info", "debug_metrics", "deployment_stats", "entitlements", "health"]

DEPLOYMENT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
_MAX_CHECKS_WITH_RESOURCE_ID = 10
_RESOURCE_TYPES_WITH_ID = frozenset({"workspace", "template", "user", "group"})
_METERS: Final = {
    "managed_agent_limit": (Capability.MANAGED_AGENTS, 120),
    "ai_governance_user_limit": (Capability.AI_METERS, 4),
    "agent_runtime_hours": (Capability.AI_METERS, 310),
}
"""Licence meters besides the seats: the release that has them, and their use under a licence."""


def authcheck(context: RequestContext) -> Any:
    """Handle ``POST /authcheck``."""
    try:
        checks: dict[str, Any] = msgspec.json.decode(context.body).get("checks", {})
        requested = {key: (check.get("object", {}), check.get("action", "")) for key, check in checks.items()}
    except (msgspec.DecodeError, AttributeError, TypeError):
        raise _bad_request("Request body must be valid JSON.") from None
    with_id = sum(bool(resource.get("resource_id")) for resource, _ in requested.values())
    if with_id > _MAX_CHECKS_WITH_RESOURCE_ID:
        raise _bad_request(
            f'Endpoint only supports using "resource_id" field {_MAX_CHECKS_WITH_RESOURCE_ID} times, '
            f"found {with_id} usages. "
            f"Remove {with_id - _MAX_CHECKS_WITH_RESOURCE_ID} objects with this field set."
        )
    for key, (resource, _) in requested.items():
        _validate_resource(key, resource)
    return {key: _is_allowed(context, resource, action) for key, (resource, action) in requested.items()}


def _bad_request(message: str, validations: Sequence[FieldError] = ()) -> ApiError:
    return ApiError(400, ErrorBody(message, validations=validations))


def _validate_resource(key: str, resource: dict[str, Any]) -> None:
    resource_type = resource.get("resource_type", "")
    if not resource_type:
        raise _bad_request(f'Object\'s "resource_type" field must be defined for key "{key}".')
    for name in ("resource_id", "organization_id", "owner_id"):
        if (text := resource.get(name)) and (error := uuid_error(text)):
            raise _bad_request(f'Object "{text}" id is not a valid uuid.', [FieldError(name, error)])
    if resource.get("resource_id") and resource_type not in _RESOURCE_TYPES_WITH_ID:
        raise _bad_request(f'Object type "{resource_type}" does not support "resource_id" field.')


def _is_allowed(context: RequestContext, resource: dict[str, Any], action: str) -> bool:
    resource_type = resource["resource_type"]
    if template_id := resource.get("resource_id"):
        template = context.deployment.template(template_id)
        if resource_type != "template" or template is None:
            return False
        return template_id in context.account.admin_template_ids or context.account.can_in_organization(
            template.organization.name, resource_type, action
        )
    organization_names = {org.id: org.name for org in context.world.organizations}
    if organization := resource.get("organization_id"):
        return organization in organization_names and context.account.can_in_organization(
            organization_names[organization], resource_type, action
        )
    if resource.get("any_org"):
        return any(
            context.account.can_in_organization(name, resource_type, action)
            for name in organization_names.values()
        )
    return context.account.can(resource_type, action)


def deployment_stats(context: RequestContext) -> Any:
    """Handle ``GET /deployment/stats``."""
    if not context.account.can("deployment_stats", "read"):
        raise forbidden()
    since = context.now - timedelta(minutes=15)
    reports = (
        list(context.world.agent_reports(since, context.now)) if context.world.usage_stats_enabled else []
    )
    latencies = sorted(item.latency_ms for item in reports if item.latency_ms > 0)
    newest_reports = {item.agent_id: item for item in reports}
    status_counts = Counter(item.status for item in context.world.workspaces(context.now))
    return {
        "aggregated_from": format_timestamp(since),
        "collected_at": format_timestamp(context.now),
        "next_update_at": format_timestamp(context.now + timedelta(seconds=30)),
        "workspaces": {
            "pending": 0,
            "building": 0,
            "running": status_counts["running"],
            "failed": status_counts["failed"],
            "stopped": status_counts["stopped"],
            "connection_latency_ms": {
                "P50": percentile(latencies, 0.5) if latencies else -1,
                "P95": percentile(latencies, 0.95) if latencies else -1,
            },
            "rx_bytes": sum(item.rx_bytes for item in reports),
            "tx_bytes": sum(item.tx_bytes for item in reports),
        },
        "session_count": {
            family: sum(item.sessions.get(family, 0) for item in newest_reports.values())
            for family in SESSION_FAMILIES
        },
    }


def health(context: RequestContext) -> Any:
    """Handle ``GET /debug/health``."""
    if not context.account.can("debug_info", "read"):
        raise forbidden()
    section: dict[str, Any] = {"error": None, "severity": "ok", "warnings": [], "dismissed": False}
    healthy = {**section, "healthy": True}
    return {
        "time": format_timestamp(context.now),
        "healthy": True,
        "severity": "ok",
        "derp": healthy,
        "access_url": healthy,
        "websocket": healthy,
        "database": {**healthy, "reachable": True, "latency": "2ms", "latency_ms": 2, "threshold_ms": 15},
        "workspace_proxy": healthy,
        # This section has no `healthy`.
        "provisioner_daemons": {**section, "items": []},
        "coder_version": context.deployment.release.version,
    }


def debug_metrics(context: RequestContext) -> Any:
    """Handle ``GET /debug/metrics``, which returns text."""
    if not context.account.can("debug_info", "read"):
        raise forbidden()
    return context.deployment.metrics.render(context.now)


def entitlements(context: RequestContext) -> Any:
    """Handle ``GET /entitlements``."""
    options = context.deployment.options
    if options.open_source:
        raise route_not_found()
    is_licensed = options.user_limit is not None
    features = {"user_limit": _not_entitled() | {"actual": 1}}
    if is_licensed:
        features["user_limit"] = _entitled(options.user_limit, _licensed_users(context))
    for feature, (capability, actual) in _METERS.items():
        if context.deployment.supports(capability):
            features[feature] = _not_entitled()
            if is_licensed and feature in options.feature_limits:
                features[feature] = _entitled(options.feature_limits[feature], actual)
    return {
        "features": features,
        "warnings": [],
        "errors": [],
        "has_license": is_licensed,
        "trial": False,
        "require_telemetry": False,
        "refreshed_at": format_timestamp(context.now),
    }


def _entitled(limit: int | None, actual: int) -> dict[str, Any]:
    payload: dict[str, Any] = {"entitlement": "entitled", "enabled": True, "actual": actual}
    return payload if limit is None else payload | {"limit": limit}


def _not_entitled() -> dict[str, Any]:
    return {"entitlement": "not_entitled", "enabled": False}


def _licensed_users(context: RequestContext) -> int:
    """Return the number of used seats: active users, before v2.32 with service accounts."""
    world = context.world
    people = sum(
        world.account_status(index, context.now) == "active" and not user.deleted
        for index, user in enumerate(world.users)
    )
    is_excluded = context.deployment.supports(Capability.SERVICE_ACCOUNTS)
    return people if is_excluded else people + len(world.service_accounts)


def build_info(deployment: SimulatedDeployment, access_url: str) -> dict[str, Any]:
    """Return the body of ``/buildinfo``, which needs no token."""
    has_push_key = deployment.supports(Capability.RECENT_FIELDS)
    return {
        "external_url": "https://github.com/coder/coder/commit/5e7d2c4",
        "version": deployment.release.version,
        "dashboard_url": access_url,
        "telemetry": False,
        "workspace_proxy": False,
        "agent_api_version": "1.0",
        "provisioner_api_version": "1.0",
        "upgrade_message": "",
        "deployment_id": DEPLOYMENT_ID,
        **({"webpush_public_key": "BEwebpushpublickey"} if has_push_key else {}),
    }
