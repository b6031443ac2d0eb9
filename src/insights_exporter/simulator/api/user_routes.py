"""Routes of user accounts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from insights_exporter.simulator.api.deployment import RequestContext, format_timestamp
from insights_exporter.simulator.api.errors import (
    ApiError,
    ErrorBody,
    forbidden,
    not_found,
    route_not_found,
)
from insights_exporter.simulator.api.query_params import parse_search
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.model import Group, User

__all__ = ["groups", "me", "user", "users"]


def me(context: RequestContext) -> Any:
    """Handle ``GET /users/me``."""
    account = context.account
    known = (*context.world.users, *context.world.service_accounts)
    listed = next((user for user in known if user.username == account.user and not user.deleted), None)
    # An account of a test need not exist in the world.
    user = listed or User(
        context.deployment.user_id(account.user),
        account.user,
        tuple(organization.id for organization in context.world.organizations),
        email=f"{account.user}@example.test",
        created_at=context.now - timedelta(days=90),
    )
    payload = _user_payload(context, user, last_seen=context.now, status=account.status)
    return payload | {"roles": [{"name": role, "display_name": role} for role in sorted(account.roles)]}


def user(context: RequestContext) -> Any:
    """Handle ``GET /users/{user}``."""
    identifier = context.path_params["user"]
    for index, candidate in enumerate((*context.world.users, *context.world.service_accounts)):
        # A deleted user is found by id, but not by name.
        if identifier == candidate.id or (identifier == candidate.username and not candidate.deleted):
            if not (context.account.can("user", "read") or candidate.username == context.account.user):
                raise not_found()
            return _listed_user_payload(context, index, candidate)
    if context.deployment.supports(Capability.RECENT_FIELDS) and not context.account.can("user", "update"):
        raise not_found()
    raise ApiError(400, ErrorBody('"user" must be an existing uuid or username.'))


def users(context: RequestContext) -> Any:
    """Handle ``GET /users``."""
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
            for index, user in enumerate((*context.world.users, *context.world.service_accounts))
            if not user.deleted
            and (can_read_all or user.username == context.account.user)
            and _matches(context, index, user, filters)
        ),
        key=lambda row: row[1].username.lower(),
    )
    if after:
        after_index = next((index for index, row in enumerate(rows) if row[1].id == after), len(rows))
        offset += after_index + 1
    page = rows[offset : offset + limit] if limit else rows[offset:]
    return {
        "users": [_listed_user_payload(context, index, user) for index, user in page],
        "count": len(rows) if page else 0,
    }


def groups(context: RequestContext) -> Any:
    """Handle ``GET /groups``, which needs a licence and lists what the account may read."""
    options = context.deployment.options
    if options.open_source or not context.deployment.supports(Capability.ALL_GROUPS):
        raise route_not_found()
    if options.user_limit is None:
        raise ApiError(403, ErrorBody("Template RBAC is a Premium feature. Contact sales!"))
    users_by_id = {user.id: user for user in context.world.users if not user.deleted}
    return [
        _group_payload(context, group, [users_by_id[key] for key in group.member_ids if key in users_by_id])
        for group in context.world.groups
        if context.account.can_in_organization(group.organization.name, "group", "read")
    ]


def _group_payload(context: RequestContext, group: Group, members: list[User]) -> dict[str, Any]:
    # Members are users with fewer fields.
    names = ("id", "username", "name", "email", "created_at", "status", "login_type", "avatar_url")
    indexes = {user.id: index for index, user in enumerate(context.world.users)}
    payloads = [
        _user_payload(
            context, user, last_seen=None, status=context.world.account_status(indexes[user.id], context.now)
        )
        for user in members
    ]
    return {
        "id": group.id,
        "name": group.name,
        "display_name": group.display_name,
        "organization_id": group.organization.id,
        "organization_name": group.organization.name,
        "organization_display_name": group.organization.display_name,
        "members": [{name: payload[name] for name in names if name in payload} for payload in payloads],
        "total_member_count": len(members),
        "avatar_url": "",
        "quota_allowance": group.quota_allowance,
        "source": "user",
    }


def _matches(context: RequestContext, index: int, user: User, filters: dict[str, str]) -> bool:
    if "status" in filters and filters["status"] != context.world.account_status(index, context.now):
        return False
    if "service_account" in filters and (filters["service_account"] == "true") != user.is_service_account:
        return False
    name = filters.get("name", "")
    return name in user.username or name in user.email


def _listed_user_payload(context: RequestContext, index: int, user: User) -> dict[str, Any]:
    world = context.world
    last_seen = world.last_seen(index, context.now) if index < len(world.users) else context.now
    return _user_payload(context, user, last_seen=last_seen, status=world.account_status(index, context.now))


def _user_payload(
    context: RequestContext, user: User, *, last_seen: datetime | None, status: str
) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "created_at": format_timestamp(user.created_at),
        "updated_at": format_timestamp(user.created_at),
        "last_seen_at": format_timestamp(last_seen),
        "status": status,
        "login_type": "none" if user.is_service_account else "password",
        "organization_ids": list(user.organizations),
        "roles": [],
    }
    # Coder omits these fields when they are empty.
    optional: dict[str, Any] = {"name": user.name, "avatar_url": user.avatar_url}
    if context.deployment.supports(Capability.SERVICE_ACCOUNTS):
        optional["is_service_account"] = user.is_service_account
    if context.deployment.supports(Capability.RECENT_FIELDS):
        payload["has_ai_seat"] = False
    return payload | {name: value for name, value in optional.items() if value}
