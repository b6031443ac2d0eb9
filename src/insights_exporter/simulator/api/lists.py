"""The lists of what exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insights_exporter.simulator.api.deployment import Call, SimulatedDeployment, stamp
from insights_exporter.simulator.api.problem import Problem, Refusal, forbidden, not_found, route_missing
from insights_exporter.simulator.api.query import terms
from insights_exporter.simulator.api.release import Capability
from insights_exporter.simulator.model import Agent, Organization, Template, User, Workspace

__all__ = [
    "organization_templates",
    "organizations",
    "own_organizations",
    "rich_parameters",
    "template",
    "templates",
    "user",
    "users",
    "workspaces",
]

_ZERO_ID = "00000000-0000-0000-0000-000000000000"


def organizations(call: Call) -> Any:
    """Answer ``/organizations``."""
    if not call.deployment.has(Capability.ORGANIZATION_NAMES):
        raise route_missing()
    return own_organizations(call)


def own_organizations(call: Call) -> Any:
    """Answer ``/users/me/organizations``."""
    return [
        _organization(one)
        for one in call.world.organizations
        if call.account.may_within(one.name, "organization", "read")
    ]


def _organization(one: Organization) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "display_name": one.display_name,
        "icon": one.icon,
        "description": "",
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
        "is_default": one.is_default,
    }


def templates(call: Call) -> Any:
    """Answer ``/templates``."""
    if not call.deployment.has(Capability.ALL_TEMPLATES):
        raise route_missing()
    return _templates(call, call.world.templates)


def organization_templates(call: Call) -> Any:
    """Answer ``/organizations/{id}/templates``."""
    wanted = call.path["id"]
    if not any(wanted in (one.id, one.name) for one in call.world.organizations):
        raise not_found()
    return _templates(
        call, [one for one in call.world.templates if wanted in (one.organization.id, one.organization.name)]
    )


def template(call: Call) -> Any:
    """Answer ``/templates/{id}``."""
    return _template(call.deployment, call.readable_template(), _owners(call))


def _owners(call: Call) -> dict[str, int]:
    owners: dict[str, set[str]] = {}
    for one in call.world.workspaces(call.now):
        owners.setdefault(one.template.id, set()).add(one.owner.id)
    return {key: len(value) for key, value in owners.items()}


def _templates(call: Call, found: Any) -> list[dict[str, Any]]:
    asked = terms(call.query.text("q"), bare="name")
    deleted = asked.get("deleted") == "true"
    hides = call.deployment.has(Capability.DEPRECATED_HIDDEN)
    deprecated = {"true": True, "false": False}.get(asked.get("deprecated", ""), False if hides else None)
    ids = set(asked["ids"].split(",")) if "ids" in asked else None
    rows = [
        one
        for one in call.visible(found)
        if call.deployment.is_deleted(one) == deleted
        and (deprecated is None or bool(one.deprecation_message) == deprecated)
        and (ids is None or one.id in ids)
        and asked.get("name", "") in one.name
        and asked.get("exact_name", one.name) == one.name
        and asked.get("organization", one.organization.name) in (one.organization.name, one.organization.id)
    ]
    owners = _owners(call)
    rows.sort(key=lambda one: (-owners.get(one.id, 0), one.name, one.id))
    return [_template(call.deployment, one, owners) for one in rows]


def _template(deployment: SimulatedDeployment, one: Template, owners: dict[str, int]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": one.id,
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
        "organization_id": one.organization.id,
        "name": one.name,
        "display_name": one.display_name,
        "provisioner": "terraform",
        "active_version_id": one.version_id,
        "active_user_count": owners.get(one.id, -1),
        "build_time_stats": {
            transition: dict(zip(("P50", "P95"), one.build_ms.get(transition, (None, None)), strict=True))
            for transition in ("start", "stop", "delete")
        },
        "description": "",
        "deprecated": bool(one.deprecation_message),
        "deprecation_message": one.deprecation_message,
        "icon": one.icon,
        "created_by_id": _ZERO_ID,
        "created_by_name": "admin",
        "use_classic_parameter_flow": False,
    }
    if deployment.has(Capability.ORGANIZATION_NAMES):
        told["organization_name"] = one.organization.name
        told["organization_display_name"] = one.organization.display_name
        told["organization_icon"] = one.organization.icon
    if deployment.has(Capability.DELETED_FIELD):
        told["deleted"] = deployment.is_deleted(one)
    return told


def user(call: Call) -> Any:
    """Answer ``/users/{user}``."""
    asked = call.path["user"]
    for place, one in enumerate(call.world.users):
        # A user who is gone is found by id and no longer by name.
        if asked == one.id or (asked == one.username and not one.deleted):
            if not (call.account.may("user", "read") or one.username == call.account.user):
                raise not_found()
            return _user(call, place, one)
    raise Problem(400, Refusal('"user" must be an existing uuid or username.'))


def users(call: Call) -> Any:
    """Answer ``/users``."""
    limit = call.query.integer("limit", 0, least=0)
    offset = call.query.integer("offset", 0, least=0)
    asked = terms(call.query.text("q"), bare="name")
    after = call.query.uuid("after_id")
    call.query.finish(strict=False)
    everybody = call.account.may("user", "read")
    if not everybody and not call.account.organization_roles:
        raise forbidden()
    rows = sorted(
        (
            (place, one)
            for place, one in enumerate(call.world.users)
            if not one.deleted
            and (everybody or one.username == call.account.user)
            and asked.get("status", one.status) == one.status
            and (asked.get("name", "") in one.username or asked.get("name", "") in one.email)
        ),
        key=lambda row: row[1].username.lower(),
    )
    if after:
        seen = next((place for place, row in enumerate(rows) if row[1].id == after), len(rows))
        offset += seen + 1
    page = rows[offset : offset + limit] if limit else rows[offset:]
    return {"users": [_user(call, place, one) for place, one in page], "count": len(rows) if page else 0}


def _user(call: Call, place: int, one: User) -> dict[str, Any]:
    told = {
        "id": one.id,
        "username": one.username,
        "avatar_url": one.avatar_url,
        "name": one.name,
        "email": one.email,
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
        "last_seen_at": stamp(call.world.last_seen(place, call.now)),
        "status": one.status,
        "login_type": "password",
        "organization_ids": list(one.organizations),
        "roles": [],
    }
    if call.deployment.has(Capability.SERVICE_ACCOUNTS):
        told["is_service_account"] = False
    return told


def workspaces(call: Call) -> Any:
    """Answer ``/workspaces``."""
    limit = call.query.integer("limit", 0, least=0)
    offset = call.query.integer("offset", 0, least=0)
    asked = terms(call.query.text("q"), bare="name")
    call.query.finish(strict=False)
    rows = [
        one
        for one in call.world.workspaces(call.now)
        if _matches(one, asked)
        and not call.deployment.is_deleted(one.template)
        and (
            one.owner.username == call.account.user
            or call.account.may_within(one.template.organization.name, "workspace", "read")
        )
    ]
    rows.sort(key=lambda one: (one.status != "running", one.owner.username, one.name))
    page = rows[offset : offset + limit] if limit else rows[offset:]
    return {"workspaces": [_workspace(call, one) for one in page], "count": len(rows)}


def _matches(one: Workspace, asked: Mapping[str, str]) -> bool:
    return (
        asked.get("owner", one.owner.username) == one.owner.username
        and asked.get("template", one.template.name) == one.template.name
        and asked.get("organization", one.template.organization.name) == one.template.organization.name
        and asked.get("status", one.status) == one.status
        and asked.get("name", "") in one.name
    )


def _workspace(call: Call, one: Workspace) -> dict[str, Any]:
    template = one.template
    failing = [agent.id for agent in one.agents if agent.status != "connected"]
    return {
        "id": one.id,
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
        "owner_id": one.owner.id,
        "owner_name": one.owner.username,
        "owner_avatar_url": one.owner.avatar_url,
        "organization_id": template.organization.id,
        "organization_name": template.organization.name,
        "template_id": template.id,
        "template_name": template.name,
        "template_display_name": template.display_name,
        "template_icon": template.icon,
        "template_active_version_id": template.version_id,
        "outdated": one.outdated,
        "name": one.name,
        "last_used_at": stamp(one.last_used),
        "dormant_at": None if one.dormant_at is None else stamp(one.dormant_at),
        "deleting_at": None,
        "health": {"healthy": not failing, "failing_agents": failing},
        "automatic_updates": "never",
        "favorite": False,
        **({"is_prebuild": False} if call.deployment.has(Capability.PREBUILDS) else {}),
        "latest_build": {
            "id": one.id.replace("55555555", "66666666", 1),
            "build_number": 3,
            "transition": one.transition,
            "status": one.status,
            "reason": "initiator",
            "template_version_id": template.version_id,
            "template_version_name": "current",
            "created_at": stamp(one.last_used or one.created_at),
            "resources": [
                {
                    "id": one.id.replace("55555555", "77777777", 1),
                    "name": "main",
                    "type": "docker_container",
                    "agents": [_agent(template, agent) for agent in one.agents],
                }
            ]
            if one.agents
            else [],
        },
    }


def _agent(template: Template, one: Agent) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "status": one.status,
        "lifecycle_state": "ready",
        "version": one.version,
        "health": {"healthy": one.status == "connected"},
        "apps": [
            {
                "id": one.id.replace("88888888", f"9999{place:04x}", 1),
                "slug": app.slug,
                "display_name": app.display_name,
                "icon": app.icon,
                "health": one.app_health.get(app.slug, "disabled"),
                "external": False,
                "hidden": False,
                "subdomain": True,
                "sharing_level": "owner",
            }
            for place, app in enumerate(template.apps)
        ],
    }
    if one.relay_ms is not None:
        told["latency"] = {one.relay: {"preferred": True, "latency_ms": one.relay_ms}}
    return told


def rich_parameters(call: Call) -> Any:
    """Answer ``/templateversions/{id}/rich-parameters``."""
    found = [one for one in call.world.templates if one.version_id == call.path["id"].lower()]
    if not found or not call.visible(found):
        raise Problem(404, Refusal("Resource not found or you do not have access to this resource"))
    return [
        {
            "name": one.name,
            "display_name": one.display_name,
            "description": one.description,
            "description_plaintext": one.description,
            "type": one.type,
            "form_type": "radio" if one.options else "input",
            "mutable": True,
            "default_value": one.default,
            "icon": one.icon,
            "options": [
                {"name": o.name, "description": o.description, "value": o.value, "icon": o.icon}
                for o in one.options
            ],
            "required": False,
            "ephemeral": False,
        }
        for one in found[0].parameters
    ]
