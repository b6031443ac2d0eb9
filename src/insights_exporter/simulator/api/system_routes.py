"""Routes on the deployment itself and on who is asking."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec

from insights_exporter.simulator.api.deployment import RequestContext, format_timestamp
from insights_exporter.simulator.api.errors import ApiError, ErrorBody, forbidden, route_not_found
from insights_exporter.simulator.api.query_params import parse_uuid
from insights_exporter.simulator.rollup import percentile

__all__ = ["authcheck", "debug_metrics", "deployment_stats", "entitlements", "health", "me", "tokens"]

DEPLOYMENT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
_MAX_CHECKS_WITH_RESOURCE_ID = 10
_RESOURCE_TYPES_WITH_ID = frozenset({"workspace", "template", "user", "group"})
_SESSION_FAMILIES = ("vscode", "ssh", "jetbrains", "reconnecting_pty")


def me(context: RequestContext) -> Any:
    """Answer ``/users/me``."""
    return {
        "id": "4fffffff-0000-4000-8000-000000000001",
        "username": context.account.user,
        "name": "",
        "avatar_url": "",
        "email": f"{context.account.user}@example.test",
        "created_at": format_timestamp(context.now - timedelta(days=90)),
        "updated_at": format_timestamp(context.now - timedelta(days=90)),
        "last_seen_at": format_timestamp(context.now),
        "status": context.account.status,
        "login_type": "token",
        "organization_ids": [organization.id for organization in context.world.organizations],
        "roles": [{"name": role, "display_name": role} for role in sorted(context.account.roles)],
    }


def tokens(context: RequestContext) -> Any:
    """Answer ``/users/me/keys/tokens``."""
    expires = context.account.expires_at or context.now + context.account.lifetime
    return [
        {
            "id": context.account.key_id,
            "user_id": "4fffffff-0000-4000-8000-000000000001",
            "last_used": format_timestamp(context.now),
            "expires_at": format_timestamp(expires),
            "created_at": format_timestamp(context.now - timedelta(days=1)),
            "updated_at": format_timestamp(context.now - timedelta(days=1)),
            "login_type": "token",
            "scope": "all",
            "token_name": "insights-exporter",
            "lifetime_seconds": int(context.account.lifetime.total_seconds()),
        }
    ]


def authcheck(context: RequestContext) -> Any:
    """Answer ``/authcheck``."""
    try:
        checks: dict[str, Any] = msgspec.json.decode(context.body)["checks"]
        requested = {key: (check.get("object", {}), check.get("action", "")) for key, check in checks.items()}
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
        raise _bad_request("Request body must be valid JSON.") from None
    if (
        sum(bool(resource.get("resource_id")) for resource, _ in requested.values())
        > _MAX_CHECKS_WITH_RESOURCE_ID
    ):
        raise _bad_request(
            f"Endpoint only supports using {_MAX_CHECKS_WITH_RESOURCE_ID} checks with a resource_id."
        )
    for resource, _ in requested.values():
        _validate_resource(resource)
    return {key: _is_allowed(context, resource, action) for key, (resource, action) in requested.items()}


def _bad_request(message: str) -> ApiError:
    return ApiError(400, ErrorBody(message))


def _validate_resource(resource: dict[str, Any]) -> None:
    resource_type = resource.get("resource_type", "")
    if not resource_type:
        raise _bad_request('Object\'s "resource_type" field must be defined.')
    for name in ("resource_id", "organization_id", "owner_id"):
        if (text := resource.get(name)) and parse_uuid(text) is None:
            raise _bad_request(f'Object {name} "{text}" is not a valid UUID.')
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
    """Answer ``/deployment/stats``."""
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
            for family in _SESSION_FAMILIES
        },
    }


def health(context: RequestContext) -> Any:
    """Answer ``/debug/health``."""
    if not context.account.can("debug_info", "read"):
        raise forbidden()
    healthy = {"healthy": True, "severity": "ok", "warnings": []}
    return {
        "time": format_timestamp(context.now),
        **healthy,
        "derp": healthy,
        "access_url": healthy,
        "websocket": healthy,
        "database": {**healthy, "reachable": True, "latency_ms": 2, "threshold_ms": 15},
        "workspace_proxy": healthy,
        "provisioner_daemons": healthy,
        "coder_version": context.deployment.release.version,
    }


def debug_metrics(context: RequestContext) -> Any:
    """Answer ``/debug/metrics``, which is text."""
    if not context.account.can("debug_info", "read"):
        raise forbidden()
    return context.deployment.metrics.render(context.now)


def entitlements(context: RequestContext) -> Any:
    """Answer ``/entitlements``."""
    options = context.deployment.options
    if not options.licensed:
        raise route_not_found()
    seats: dict[str, Any] = {"entitlement": "entitled", "enabled": options.user_limit is not None}
    if options.user_limit is not None:
        seats["limit"] = options.user_limit
        seats["actual"] = sum(user.status == "active" and not user.deleted for user in context.world.users)
    return {
        "features": {"user_limit": seats},
        "warnings": [],
        "errors": [],
        "has_license": True,
        "trial": False,
        "require_telemetry": False,
        "refreshed_at": format_timestamp(context.now),
    }


def build_info(version: str, access_url: str) -> dict[str, Any]:
    """Return the answer of ``/buildinfo``, which needs no token."""
    return {
        "external_url": "https://github.com/coder/coder/commit/5e7d2c4",
        "version": version,
        "dashboard_url": access_url,
        "telemetry": False,
        "workspace_proxy": False,
        "agent_api_version": "1.0",
        "provisioner_api_version": "1.0",
        "upgrade_message": "",
        "deployment_id": DEPLOYMENT_ID,
    }
