"""Routes on the deployment itself and on who is asking."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec

from insights_exporter.simulator.api.deployment import Call, stamp
from insights_exporter.simulator.api.problem import Problem, Refusal, forbidden, route_missing
from insights_exporter.simulator.api.query import parse_uuid
from insights_exporter.simulator.report import percentile

__all__ = ["authcheck", "debug_metrics", "deployment_stats", "entitlements", "health", "me", "tokens"]

DEPLOYMENT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
_CHECKS_WITH_RESOURCE = 10
_KINDS_WITH_IDS = frozenset({"workspace", "template", "user", "group"})
_SESSIONS = ("vscode", "ssh", "jetbrains", "reconnecting_pty")


def me(call: Call) -> Any:
    """Answer ``/users/me``."""
    return {
        "id": "4fffffff-0000-4000-8000-000000000001",
        "username": call.account.user,
        "name": "",
        "avatar_url": "",
        "email": f"{call.account.user}@example.test",
        "created_at": stamp(call.now - timedelta(days=90)),
        "updated_at": stamp(call.now - timedelta(days=90)),
        "last_seen_at": stamp(call.now),
        "status": call.account.status,
        "login_type": "token",
        "organization_ids": [one.id for one in call.world.organizations],
        "roles": [{"name": role, "display_name": role} for role in sorted(call.account.roles)],
    }


def tokens(call: Call) -> Any:
    """Answer ``/users/me/keys/tokens``."""
    expires = call.account.expires_at or call.now + call.account.lifetime
    return [
        {
            "id": call.account.key_id,
            "user_id": "4fffffff-0000-4000-8000-000000000001",
            "last_used": stamp(call.now),
            "expires_at": stamp(expires),
            "created_at": stamp(call.now - timedelta(days=1)),
            "updated_at": stamp(call.now - timedelta(days=1)),
            "login_type": "token",
            "scope": "all",
            "token_name": "insights-exporter",
            "lifetime_seconds": int(call.account.lifetime.total_seconds()),
        }
    ]


def authcheck(call: Call) -> Any:
    """Answer ``/authcheck``."""
    try:
        checks: dict[str, Any] = msgspec.json.decode(call.body)["checks"]
        asked = {key: (one.get("object", {}), one.get("action", "")) for key, one in checks.items()}
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
        raise _refused("Request body must be valid JSON.") from None
    if sum(bool(thing.get("resource_id")) for thing, _ in asked.values()) > _CHECKS_WITH_RESOURCE:
        raise _refused(f"Endpoint only supports using {_CHECKS_WITH_RESOURCE} checks with a resource_id.")
    for thing, _ in asked.values():
        _refuse_thing(thing)
    return {key: _allowed(call, thing, action) for key, (thing, action) in asked.items()}


def _refused(message: str) -> Problem:
    return Problem(400, Refusal(message))


def _refuse_thing(thing: dict[str, Any]) -> None:
    kind = thing.get("resource_type", "")
    if not kind:
        raise _refused('Object\'s "resource_type" field must be defined.')
    for name in ("resource_id", "organization_id", "owner_id"):
        if (text := thing.get(name)) and parse_uuid(text) is None:
            raise _refused(f'Object {name} "{text}" is not a valid UUID.')
    if thing.get("resource_id") and kind not in _KINDS_WITH_IDS:
        raise _refused(f'Object type "{kind}" does not support "resource_id" field.')


def _allowed(call: Call, thing: dict[str, Any], action: str) -> bool:
    kind = thing["resource_type"]
    if identity := thing.get("resource_id"):
        template = call.deployment.template(identity)
        if kind != "template" or template is None:
            return False
        return identity in call.account.administers or call.account.may_within(
            template.organization.name, kind, action
        )
    named = {one.id: one.name for one in call.world.organizations}
    if organization := thing.get("organization_id"):
        return organization in named and call.account.may_within(named[organization], kind, action)
    if thing.get("any_org"):
        return any(call.account.may_within(name, kind, action) for name in named.values())
    return call.account.may(kind, action)


def deployment_stats(call: Call) -> Any:
    """Answer ``/deployment/stats``."""
    if not call.account.may("deployment_stats", "read"):
        raise forbidden()
    since = call.now - timedelta(minutes=15)
    reports = list(call.world.agent_reports(since, call.now)) if call.world.collecting else []
    measured = sorted(one.latency_ms for one in reports if one.latency_ms > 0)
    newest = {one.agent_id: one for one in reports}
    states = Counter(one.status for one in call.world.workspaces(call.now))
    return {
        "aggregated_from": stamp(since),
        "collected_at": stamp(call.now),
        "next_update_at": stamp(call.now + timedelta(seconds=30)),
        "workspaces": {
            "pending": 0,
            "building": 0,
            "running": states["running"],
            "failed": states["failed"],
            "stopped": states["stopped"],
            "connection_latency_ms": {
                "P50": percentile(measured, 0.5) if measured else -1,
                "P95": percentile(measured, 0.95) if measured else -1,
            },
            "rx_bytes": sum(one.rx_bytes for one in reports),
            "tx_bytes": sum(one.tx_bytes for one in reports),
        },
        "session_count": {
            family: sum(one.sessions.get(family, 0) for one in newest.values()) for family in _SESSIONS
        },
    }


def health(call: Call) -> Any:
    """Answer ``/debug/health``."""
    if not call.account.may("debug_info", "read"):
        raise forbidden()
    fine = {"healthy": True, "severity": "ok", "warnings": []}
    return {
        "time": stamp(call.now),
        **fine,
        "derp": fine,
        "access_url": fine,
        "websocket": fine,
        "database": {**fine, "reachable": True, "latency_ms": 2, "threshold_ms": 15},
        "workspace_proxy": fine,
        "provisioner_daemons": fine,
        "coder_version": call.deployment.release.text,
    }


def debug_metrics(call: Call) -> Any:
    """Answer ``/debug/metrics``, which is text."""
    if not call.account.may("debug_info", "read"):
        raise forbidden()
    return call.deployment.metrics.page(call.now)


def entitlements(call: Call) -> Any:
    """Answer ``/entitlements``."""
    options = call.deployment.options
    if not options.licensed:
        raise route_missing()
    seats: dict[str, Any] = {"entitlement": "entitled", "enabled": options.user_limit is not None}
    if options.user_limit is not None:
        seats["limit"] = options.user_limit
        seats["actual"] = sum(user.status == "active" and not user.deleted for user in call.world.users)
    return {
        "features": {"user_limit": seats},
        "warnings": [],
        "errors": [],
        "has_license": True,
        "trial": False,
        "require_telemetry": False,
        "refreshed_at": stamp(call.now),
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
