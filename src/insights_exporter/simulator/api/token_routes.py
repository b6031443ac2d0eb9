"""Routes of API tokens: list, create, revoke, and the limits of their lifetime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import msgspec

from insights_exporter.simulator.api.accounts import COMPOSITE_SCOPES, Account, new_token
from insights_exporter.simulator.api.deployment import RequestContext, format_timestamp
from insights_exporter.simulator.api.errors import ApiError, ErrorBody, FieldError, forbidden, not_found
from insights_exporter.simulator.api.version import Capability

__all__ = ["create_token", "delete_key", "key", "token_config", "tokens"]

_LEGACY_SCOPES: Final = frozenset({"all", "application_connect"})
_SCOPE_ACTIONS: Final = {
    "template": ("read", "create", "update", "delete", "use", "*"),
    "workspace": ("read", "create", "update", "delete", "ssh", "*"),
    "user": ("read", "read_personal"),
    "organization": ("read",),
    "api_key": ("read", "create", "update", "delete", "*"),
}
_REQUESTABLE_SCOPES: Final = frozenset(
    {
        *_LEGACY_SCOPES,
        "coder:all",
        *COMPOSITE_SCOPES,
        *(f"{resource}:{action}" for resource, actions in _SCOPE_ACTIONS.items() for action in actions),
    }
)
"""Scopes that a new token may have; ``template:view_insights`` exists and cannot be requested."""


class _CreateRequest(msgspec.Struct, frozen=True):
    """The body of a request for a token; ``lifetime`` is in nanoseconds, 0 for the default."""

    lifetime: int = 0
    scope: str = ""
    scopes: list[str] = []
    token_name: str = ""


def tokens(context: RequestContext) -> Any:
    """Handle ``GET /users/{user}/keys/tokens``."""
    return [_token_payload(context, account) for account in _tokens_of(context, _username(context))]


def key(context: RequestContext) -> Any:
    """Handle ``GET /users/{user}/keys/{key_id}``."""
    return _token_payload(context, _find_key(context))


def create_token(context: RequestContext) -> Any:
    """Handle ``POST /users/{user}/keys/tokens``."""
    username = _username(context)
    if not context.account.scope_allows("api_key", "create"):
        raise forbidden()
    try:
        request = msgspec.json.decode(context.body or b"{}", type=_CreateRequest)
    except msgspec.DecodeError as error:
        raise ApiError(400, ErrorBody("Request body must be valid JSON.", str(error))) from None
    owner = next((account for account in context.deployment.accounts if account.user == username), None)
    roles = owner.roles if owner is not None else frozenset({"member"})
    lifetime = _validate_lifetime(context, request.lifetime, roles)
    scopes = _validate_scopes(context, request)
    names = {account.token_name for account in _tokens_of(context, username)}
    token = new_token()
    name = request.token_name or f"token_{token[:10]}"
    if name in names:
        raise ApiError(
            409,
            ErrorBody(
                f'A token with name "{name}" already exists.',
                validations=[
                    FieldError("name", "This value is already in use and should be unique."),
                ],
            ),
        )
    template = owner if owner is not None else Account(token=token, user=username, roles=roles)
    account = replace(
        template,
        token=token,
        scopes=scopes,
        expires_at=context.now + lifetime,
        lifetime=lifetime,
        login_type="token",
        token_name=name,
        created_at=context.now,
        last_used=None,
    )
    context.deployment.accounts.add(account)
    return {"key": token}


def delete_key(context: RequestContext) -> Any:
    """Handle ``DELETE /users/{user}/keys/{key_id}``."""
    account = _find_key(context)
    if not context.account.scope_allows("api_key", "delete"):
        raise not_found()
    context.deployment.accounts.revoke_key(account.key_id)


def token_config(context: RequestContext) -> Any:
    """Handle ``GET /users/{user}/keys/tokens/tokenconfig``."""
    username = _username(context)
    roles = {role for account in _tokens_of(context, username) for role in account.roles}
    return {"max_token_lifetime": _nanoseconds(_max_lifetime(context, roles))}


def _username(context: RequestContext) -> str:
    """Return the user that the path names; raise ApiError unless the account may act for it."""
    name = context.path_params.get("user", "me")
    own = context.account.user
    if name in {"me", own, context.deployment.user_id(own)}:
        return own
    if not context.account.can("api_key", "read"):
        raise not_found()
    accounts = (account.user for account in context.deployment.accounts)
    usernames = {*(user.username for user in context.world.users if not user.deleted), *accounts}
    by_id = {context.deployment.user_id(username): username for username in usernames}
    if name not in usernames and name not in by_id:
        raise ApiError(400, ErrorBody('"user" must be an existing uuid or username.'))
    return by_id.get(name, name)


def _tokens_of(context: RequestContext, username: str) -> list[Account]:
    return [account for account in context.deployment.accounts if account.user == username]


def _find_key(context: RequestContext) -> Account:
    key_id = context.path_params["key_id"]
    matching = [account for account in _tokens_of(context, _username(context)) if account.key_id == key_id]
    if not matching:
        raise not_found()
    return matching[0]


def _max_lifetime(context: RequestContext, roles: Iterable[str]) -> timedelta:
    options = context.deployment.options
    return options.max_admin_token_lifetime if "owner" in roles else options.max_token_lifetime


def _validate_lifetime(context: RequestContext, nanoseconds: int, roles: Iterable[str]) -> timedelta:
    if nanoseconds == 0:
        return context.deployment.options.default_token_lifetime
    maximum = _max_lifetime(context, roles)
    if nanoseconds < 0:
        detail = "lifetime must be positive number greater than 0"
    elif nanoseconds > _nanoseconds(maximum):
        detail = f"lifetime must be less than {_format_duration(maximum)}"
    else:
        return timedelta(microseconds=nanoseconds // 1000)
    raise ApiError(400, ErrorBody("Failed to validate create API key request.", detail))


def _validate_scopes(context: RequestContext, request: _CreateRequest) -> frozenset[str]:
    scopes = frozenset([*([request.scope] if request.scope else []), *request.scopes]) or frozenset({"all"})
    has_scopes = context.deployment.supports(Capability.TOKEN_SCOPES)
    invalid = sorted(scopes - (_REQUESTABLE_SCOPES if has_scopes else _LEGACY_SCOPES))
    if invalid:
        raise ApiError(
            400,
            ErrorBody("Failed to create API key.", f"invalid or unsupported API key scope: {invalid[0]!r}"),
        )
    return scopes


def _token_payload(context: RequestContext, account: Account) -> dict[str, Any]:
    created = account.created_at or context.now - timedelta(days=1)
    payload = {
        "id": account.key_id,
        "user_id": context.deployment.user_id(account.user),
        "last_used": format_timestamp(account.last_used),
        "expires_at": format_timestamp(account.expires_at or context.now + account.lifetime),
        "created_at": format_timestamp(created),
        "updated_at": format_timestamp(account.last_used or created),
        "login_type": account.login_type,
        "scope": "all" if "all" in account.scopes else min(account.scopes),
        "token_name": account.token_name,
        "lifetime_seconds": int(account.lifetime.total_seconds()),
    }
    if context.deployment.supports(Capability.TOKEN_SCOPES):
        payload["scopes"] = sorted(account.scopes)
        payload["allow_list"] = [{"type": "*", "id": "*"}]
    if context.deployment.supports(Capability.RECENT_FIELDS):
        payload["username"] = account.user
    return payload


def _nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000


def _format_duration(duration: timedelta) -> str:
    """Return a duration in Go's notation."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}s"
