"""The lists of what exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from insights_exporter.simulator.api.deployment import RequestContext, SimulatedDeployment, format_timestamp
from insights_exporter.simulator.api.errors import ApiError, ErrorBody, forbidden, not_found, route_not_found
from insights_exporter.simulator.api.query_params import parse_search
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.model import Agent, Organization, Template, User, Workspace

__all__ = [
    "my_organizations",
    "organization_templates",
    "organizations",
    "rich_parameters",
    "template",
    "templates",
    "user",
    "users",
    "workspaces",
]

_ZERO_ID = "00000000-0000-0000-0000-000000000000"


def organizations(context: RequestContext) -> Any:
    """Answer ``/organizations``."""
    if not context.deployment.supports(Capability.ORGANIZATION_NAMES):
        raise route_not_found()
    return my_organizations(context)


def my_organizations(context: RequestContext) -> Any:
    """Answer ``/users/me/organizations``."""
    return [
        _organization_payload(organization)
        for organization in context.world.organizations
        if context.account.can_in_organization(organization.name, "organization", "read")
    ]


def _organization_payload(organization: Organization) -> dict[str, Any]:
    return {
        "id": organization.id,
        "name": organization.name,
        "display_name": organization.display_name,
        "icon": organization.icon,
        "description": "",
        "created_at": format_timestamp(organization.created_at),
        "updated_at": format_timestamp(organization.created_at),
        "is_default": organization.is_default,
    }


def templates(context: RequestContext) -> Any:
    """Answer ``/templates``."""
    if not context.deployment.supports(Capability.ALL_TEMPLATES):
        raise route_not_found()
    return _list_templates(context, context.world.templates)


def organization_templates(context: RequestContext) -> Any:
    """Answer ``/organizations/{id}/templates``."""
    organization_id = context.path_params["id"]
    if not any(organization_id in (item.id, item.name) for item in context.world.organizations):
        raise not_found()
    return _list_templates(
        context,
        [
            item
            for item in context.world.templates
            if organization_id in (item.organization.id, item.organization.name)
        ],
    )


def template(context: RequestContext) -> Any:
    """Answer ``/templates/{id}``."""
    return _template_payload(context.deployment, context.readable_template(), _owner_counts(context))


def _owner_counts(context: RequestContext) -> dict[str, int]:
    owners: dict[str, set[str]] = {}
    for workspace in context.world.workspaces(context.now):
        owners.setdefault(workspace.template.id, set()).add(workspace.owner.id)
    return {key: len(value) for key, value in owners.items()}


def _list_templates(context: RequestContext, candidates: Any) -> list[dict[str, Any]]:
    filters = parse_search(context.query.string("q"), default_key="name")
    deleted = filters.get("deleted") == "true"
    hides_deprecated = context.deployment.supports(Capability.DEPRECATED_HIDDEN)
    deprecated = {"true": True, "false": False}.get(
        filters.get("deprecated", ""), False if hides_deprecated else None
    )
    ids = set(filters["ids"].split(",")) if "ids" in filters else None
    rows = [
        template
        for template in context.visible_templates(candidates)
        if context.deployment.is_deleted(template) == deleted
        and (deprecated is None or bool(template.deprecation_message) == deprecated)
        and (ids is None or template.id in ids)
        and filters.get("name", "") in template.name
        and filters.get("exact_name", template.name) == template.name
        and filters.get("organization", template.organization.name)
        in (template.organization.name, template.organization.id)
    ]
    owner_counts = _owner_counts(context)
    rows.sort(key=lambda template: (-owner_counts.get(template.id, 0), template.name, template.id))
    return [_template_payload(context.deployment, template, owner_counts) for template in rows]


def _template_payload(
    deployment: SimulatedDeployment, template: Template, owner_counts: dict[str, int]
) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "id": template.id,
        "created_at": format_timestamp(template.created_at),
        "updated_at": format_timestamp(template.created_at),
        "organization_id": template.organization.id,
        "name": template.name,
        "display_name": template.display_name,
        "provisioner": "terraform",
        "active_version_id": template.version_id,
        "active_user_count": owner_counts.get(template.id, -1),
        "build_time_stats": {
            transition: dict(
                zip(("P50", "P95"), template.build_ms.get(transition, (None, None)), strict=True)
            )
            for transition in ("start", "stop", "delete")
        },
        "description": "",
        "deprecated": bool(template.deprecation_message),
        "deprecation_message": template.deprecation_message,
        "icon": template.icon,
        "created_by_id": _ZERO_ID,
        "created_by_name": "admin",
        "use_classic_parameter_flow": False,
    }
    if deployment.supports(Capability.ORGANIZATION_NAMES):
        payload["organization_name"] = template.organization.name
        payload["organization_display_name"] = template.organization.display_name
        payload["organization_icon"] = template.organization.icon
    if deployment.supports(Capability.DELETED_FIELD):
        payload["deleted"] = deployment.is_deleted(template)
    return payload


def user(context: RequestContext) -> Any:
    """Answer ``/users/{user}``."""
    identifier = context.path_params["user"]
    for index, one in enumerate(context.world.users):
        # A user who is gone is found by id and no longer by name.
        if identifier == one.id or (identifier == one.username and not one.deleted):
            if not (context.account.can("user", "read") or one.username == context.account.user):
                raise not_found()
            return _user_payload(context, index, one)
    raise ApiError(400, ErrorBody('"user" must be an existing uuid or username.'))


def users(context: RequestContext) -> Any:
    """Answer ``/users``."""
    limit = context.query.integer("limit", 0, minimum=0)
    offset = context.query.integer("offset", 0, minimum=0)
    filters = parse_search(context.query.string("q"), default_key="name")
    after = context.query.uuid("after_id")
    context.query.raise_for_errors(strict=False)
    can_read_all = context.account.can("user", "read")
    if not can_read_all and not context.account.organization_roles:
        raise forbidden()
    rows = sorted(
        (
            (index, user)
            for index, user in enumerate(context.world.users)
            if not user.deleted
            and (can_read_all or user.username == context.account.user)
            and filters.get("status", user.status) == user.status
            and (filters.get("name", "") in user.username or filters.get("name", "") in user.email)
        ),
        key=lambda row: row[1].username.lower(),
    )
    if after:
        after_index = next((index for index, row in enumerate(rows) if row[1].id == after), len(rows))
        offset += after_index + 1
    page = rows[offset : offset + limit] if limit else rows[offset:]
    return {
        "users": [_user_payload(context, index, user) for index, user in page],
        "count": len(rows) if page else 0,
    }


def _user_payload(context: RequestContext, index: int, user: User) -> dict[str, Any]:
    payload = {
        "id": user.id,
        "username": user.username,
        "avatar_url": user.avatar_url,
        "name": user.name,
        "email": user.email,
        "created_at": format_timestamp(user.created_at),
        "updated_at": format_timestamp(user.created_at),
        "last_seen_at": format_timestamp(context.world.last_seen(index, context.now)),
        "status": user.status,
        "login_type": "password",
        "organization_ids": list(user.organizations),
        "roles": [],
    }
    if context.deployment.supports(Capability.SERVICE_ACCOUNTS):
        payload["is_service_account"] = False
    return payload


def workspaces(context: RequestContext) -> Any:
    """Answer ``/workspaces``."""
    limit = context.query.integer("limit", 0, minimum=0)
    offset = context.query.integer("offset", 0, minimum=0)
    filters = parse_search(context.query.string("q"), default_key="name")
    context.query.raise_for_errors(strict=False)
    rows = [
        workspace
        for workspace in context.world.workspaces(context.now)
        if _matches(workspace, filters)
        and not context.deployment.is_deleted(workspace.template)
        and (
            workspace.owner.username == context.account.user
            or context.account.can_in_organization(workspace.template.organization.name, "workspace", "read")
        )
    ]
    rows.sort(key=lambda workspace: (workspace.status != "running", workspace.owner.username, workspace.name))
    page = rows[offset : offset + limit] if limit else rows[offset:]
    return {"workspaces": [_workspace_payload(context, workspace) for workspace in page], "count": len(rows)}


def _matches(workspace: Workspace, filters: Mapping[str, str]) -> bool:
    return (
        filters.get("owner", workspace.owner.username) == workspace.owner.username
        and filters.get("template", workspace.template.name) == workspace.template.name
        and filters.get("organization", workspace.template.organization.name)
        == workspace.template.organization.name
        and filters.get("status", workspace.status) == workspace.status
        and filters.get("name", "") in workspace.name
    )


def _workspace_payload(context: RequestContext, workspace: Workspace) -> dict[str, Any]:
    template = workspace.template
    failing = [agent.id for agent in workspace.agents if agent.status != "connected"]
    return {
        "id": workspace.id,
        "created_at": format_timestamp(workspace.created_at),
        "updated_at": format_timestamp(workspace.created_at),
        "owner_id": workspace.owner.id,
        "owner_name": workspace.owner.username,
        "owner_avatar_url": workspace.owner.avatar_url,
        "organization_id": template.organization.id,
        "organization_name": template.organization.name,
        "template_id": template.id,
        "template_name": template.name,
        "template_display_name": template.display_name,
        "template_icon": template.icon,
        "template_active_version_id": template.version_id,
        "outdated": workspace.outdated,
        "name": workspace.name,
        "last_used_at": format_timestamp(workspace.last_used),
        "dormant_at": None if workspace.dormant_at is None else format_timestamp(workspace.dormant_at),
        "deleting_at": None,
        "health": {"healthy": not failing, "failing_agents": failing},
        "automatic_updates": "never",
        "favorite": False,
        **({"is_prebuild": False} if context.deployment.supports(Capability.PREBUILDS) else {}),
        "latest_build": {
            "id": workspace.id.replace("55555555", "66666666", 1),
            "build_number": 3,
            "transition": workspace.transition,
            "status": workspace.status,
            "reason": "initiator",
            "template_version_id": template.version_id,
            "template_version_name": "current",
            "created_at": format_timestamp(workspace.last_used or workspace.created_at),
            "resources": [
                {
                    "id": workspace.id.replace("55555555", "77777777", 1),
                    "name": "main",
                    "type": "docker_container",
                    "agents": [_agent_payload(template, agent) for agent in workspace.agents],
                }
            ]
            if workspace.agents
            else [],
        },
    }


def _agent_payload(template: Template, agent: Agent) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "id": agent.id,
        "name": agent.name,
        "status": agent.status,
        "lifecycle_state": "ready",
        "version": agent.version,
        "health": {"healthy": agent.status == "connected"},
        "apps": [
            {
                "id": agent.id.replace("88888888", f"9999{index:04x}", 1),
                "slug": app.slug,
                "display_name": app.display_name,
                "icon": app.icon,
                "health": agent.app_health.get(app.slug, "disabled"),
                "external": False,
                "hidden": False,
                "subdomain": True,
                "sharing_level": "owner",
            }
            for index, app in enumerate(template.apps)
        ],
    }
    if agent.relay_latency_ms is not None:
        payload["latency"] = {agent.relay: {"preferred": True, "latency_ms": agent.relay_latency_ms}}
    return payload


def rich_parameters(context: RequestContext) -> Any:
    """Answer ``/templateversions/{id}/rich-parameters``."""
    matching = [
        item for item in context.world.templates if item.version_id == context.path_params["id"].lower()
    ]
    if not matching or not context.visible_templates(matching):
        raise ApiError(404, ErrorBody("Resource not found or you do not have access to this resource"))
    return [
        {
            "name": item.name,
            "display_name": item.display_name,
            "description": item.description,
            "description_plaintext": item.description,
            "type": item.type,
            "form_type": "radio" if item.options else "input",
            "mutable": True,
            "default_value": item.default,
            "icon": item.icon,
            "options": [
                {
                    "name": option.name,
                    "description": option.description,
                    "value": option.value,
                    "icon": option.icon,
                }
                for option in item.options
            ],
            "required": False,
            "ephemeral": False,
        }
        for item in matching[0].parameters
    ]
