"""Routes of organizations, templates and their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from insights_exporter.simulator.api.deployment import RequestContext, SimulatedDeployment, format_timestamp
from insights_exporter.simulator.api.errors import ApiError, ErrorBody, FieldError, not_found, route_not_found
from insights_exporter.simulator.api.query_params import parse_search
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.model import Organization, Parameter, Template

__all__ = [
    "my_organizations",
    "organization_templates",
    "organizations",
    "rich_parameters",
    "template",
    "templates",
]

_ZERO_ID: Final = "00000000-0000-0000-0000-000000000000"
_TEMPLATE_FILTERS: Final = frozenset(
    {
        *("name", "exact_name", "display_name", "exact_display_name", "organization", "ids", "deleted"),
        *("deprecated", "has-ai-task", "author", "author_id", "has_external_agent"),
    }
)


def organizations(context: RequestContext) -> Any:
    """Handle ``GET /organizations``."""
    if not context.deployment.supports(Capability.ORGANIZATION_NAMES):
        raise route_not_found()
    return my_organizations(context)


def my_organizations(context: RequestContext) -> Any:
    """Handle ``GET /users/me/organizations``."""
    return [
        _organization_payload(context, organization)
        for organization in context.world.organizations
        if context.account.can_in_organization(organization.name, "organization", "read")
    ]


def _organization_payload(context: RequestContext, organization: Organization) -> dict[str, Any]:
    has_default_roles = context.deployment.supports(Capability.RECENT_FIELDS)
    return {
        "id": organization.id,
        "name": organization.name,
        "display_name": organization.display_name,
        "icon": organization.icon,
        "description": "",
        "created_at": format_timestamp(organization.created_at),
        "updated_at": format_timestamp(organization.created_at),
        "is_default": organization.is_default,
        **({"default_org_member_roles": ["organization-member"]} if has_default_roles else {}),
    }


def templates(context: RequestContext) -> Any:
    """Handle ``GET /templates``."""
    if not context.deployment.supports(Capability.ALL_TEMPLATES):
        raise route_not_found()
    return _list_templates(context, context.world.templates)


def organization_templates(context: RequestContext) -> Any:
    """Handle ``GET /organizations/{id}/templates``."""
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
    """Handle ``GET /templates/{id}``."""
    return _template_payload(context.deployment, context.readable_template(), _owner_counts(context))


def _owner_counts(context: RequestContext) -> dict[str, int]:
    owners: dict[str, set[str]] = {}
    for workspace in context.world.workspaces(context.now):
        owners.setdefault(workspace.template.id, set()).add(workspace.owner.id)
    return {key: len(value) for key, value in owners.items()}


def _list_templates(context: RequestContext, candidates: Sequence[Template]) -> list[dict[str, Any]]:
    filters = parse_search(context.query.string("q"), default_key="name")
    if unknown := [key for key in filters if key not in _TEMPLATE_FILTERS]:
        raise ApiError(
            400,
            ErrorBody(
                "Invalid template search query.",
                validations=[FieldError(key, f'"{key}" is not a valid query param') for key in unknown],
            ),
        )
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
        "default_ttl_ms": 0
        if template.default_ttl is None
        else template.default_ttl // timedelta(milliseconds=1),
    }
    if deployment.supports(Capability.ORGANIZATION_NAMES):
        payload["organization_name"] = template.organization.name
        payload["organization_display_name"] = template.organization.display_name
        payload["organization_icon"] = template.organization.icon
    if deployment.supports(Capability.DELETED_FIELD):
        payload["deleted"] = deployment.is_deleted(template)
    return payload


def rich_parameters(context: RequestContext) -> Any:
    """Handle ``GET /templateversions/{id}/rich-parameters``."""
    matching = [
        item for item in context.world.templates if item.version_id == context.path_params["id"].lower()
    ]
    if not matching or not context.visible_templates(matching):
        raise not_found()
    return [
        {
            "name": item.name,
            "display_name": item.display_name,
            "description": item.description,
            "description_plaintext": item.description,
            "type": item.type,
            "form_type": _form_type(item),
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


def _form_type(parameter: Parameter) -> str:
    if not parameter.options:
        return "input"
    return "multi-select" if parameter.type == "list(string)" else "radio"
