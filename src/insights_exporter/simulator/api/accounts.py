"""Accounts and API tokens: roles, scopes, lifetimes and authentication."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.simulator.api.errors import ApiError, account_not_active, unauthorized

__all__ = ["COMPOSITE_SCOPES", "SITE_ROLES", "Account", "Accounts", "new_token"]

SITE_ROLES: Mapping[str, frozenset[str]] = {
    "owner": frozenset({"*:*"}),
    "auditor": frozenset(
        {
            "template:read",
            "template:view_insights",
            "user:read",
            "group:read",
            "organization:read",
            "deployment_stats:read",
            "deployment_config:read",
        }
    ),
    "template-admin": frozenset(
        {"template:*", "user:read", "group:read", "organization:read", "workspace:read"}
    ),
    "user-admin": frozenset({"user:*", "group:*", "organization:read"}),
    "member": frozenset(),
}
"""Permissions of each site role, as ``resource:action``."""

ORGANIZATION_ROLES: Mapping[str, frozenset[str]] = {
    "organization-admin": frozenset({"template:*", "workspace:*", "organization:*", "user:read", "group:*"}),
    "organization-template-admin": frozenset({"template:*", "workspace:read", "organization:read"}),
    "organization-auditor": frozenset({"template:read", "template:view_insights", "organization:read"}),
}
"""Permissions of each organization role inside its organization."""

COMPOSITE_SCOPES: Mapping[str, frozenset[str]] = {
    "coder:templates.author": frozenset({"template:*", "organization:read", "user:read"}),
    "coder:workspaces.access": frozenset({"workspace:read", "template:read", "organization:read"}),
}
"""Permissions of the named scopes that combine several ``resource:action`` scopes."""

_UNRESTRICTED_SCOPES: Final = frozenset({"all", "coder:all"})
_ALPHANUMERIC: Final = string.ascii_letters + string.digits
_UPDATE_INTERVAL: Final = timedelta(hours=1)
"""Coder writes the use of a token at most once an hour."""


def new_token() -> str:
    """Return a random token: an id of 10 characters and a secret of 22."""
    return "-".join("".join(secrets.choice(_ALPHANUMERIC) for _ in range(length)) for length in (10, 22))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A token with the user and the permissions behind it.

    ``user`` is a username; it need not exist in the world. ``organization_roles`` maps organization names to
    roles there. ``admin_template_ids`` are templates whose access list grants the account every action.
    ``scopes`` restrict the token. ``sliding_expiration`` is the deployment's setting: a use of the token then
    extends ``expires_at`` by ``lifetime``, if its kind and the server's version allow it.
    """

    token: str = field(repr=False)
    user: str = "exporter"
    roles: frozenset[str] = frozenset({"auditor", "template-admin"})
    organization_roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    admin_template_ids: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset({"all"})
    status: str = "active"
    expires_at: datetime | None = None
    lifetime: timedelta = timedelta(days=7)
    sliding_expiration: bool = True
    login_type: str = "token"
    token_name: str = "insights-exporter"  # noqa: S105 # The name is public.
    created_at: datetime | None = None
    last_used: datetime | None = None

    @property
    def key_id(self) -> str:
        """The part of the token that is not secret."""
        return self.token.partition("-")[0]

    def can(self, resource: str, action: str) -> bool:
        """Return whether a site role and the scopes permit the action."""
        grants = (grant for role in self.roles for grant in SITE_ROLES.get(role, frozenset()))
        return _grants_permission(grants, resource, action) and self.scope_allows(resource, action)

    def can_in_organization(self, organization: str, resource: str, action: str) -> bool:
        """Return whether a site or organization role permits the action in the organization of that name."""
        if self.can(resource, action):
            return True
        roles = self.organization_roles.get(organization, frozenset())
        grants = (grant for role in roles for grant in ORGANIZATION_ROLES.get(role, frozenset()))
        return _grants_permission(grants, resource, action) and self.scope_allows(resource, action)

    def scope_allows(self, resource: str, action: str) -> bool:
        """Return whether the token's scopes contain the action."""
        if self.scopes & _UNRESTRICTED_SCOPES:
            return True
        grants = {grant for scope in self.scopes for grant in COMPOSITE_SCOPES.get(scope, {scope})}
        return _grants_permission(grants, resource, action)


class Accounts:
    """All tokens of a deployment; requests and tests change them while it runs."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_key: dict[str, Account] = {}
        for account in accounts:
            self.add(account)

    def __iter__(self) -> Iterator[Account]:
        """Return all accounts in order of creation."""
        return iter(list(self._by_key.values()))

    def add(self, account: Account) -> None:
        """Add a token; raise ValueError for a malformed one."""
        if format_error := _format_error(account.token):
            raise ValueError(
                f"token: expected ten and twenty-two characters and a hyphen, got {format_error}"
            )
        self._by_key[account.key_id] = account

    def username_of(self, token: str) -> str:
        """Return the user of a token; empty for an unknown one."""
        account = self._by_key.get(token.partition("-")[0])
        return account.user if account is not None else ""

    def revoke(self, user: str) -> None:
        """Delete every token of a user."""
        self._by_key = {key: account for key, account in self._by_key.items() if account.user != user}

    def revoke_key(self, key_id: str) -> None:
        """Delete one token."""
        self._by_key = {key: account for key, account in self._by_key.items() if key != key_id}

    def rename(self, user: str, new_name: str) -> None:
        """Rename the user of all their tokens."""
        self._by_key = {
            key: replace(account, user=new_name) if account.user == user else account
            for key, account in self._by_key.items()
        }

    def update(self, user: str, **fields: object) -> None:
        """Set fields of all tokens of a user, such as ``status="suspended"`` or ``roles``."""
        for key, account in self._by_key.items():
            if account.user == user:
                self._by_key[key] = replace(account, **fields)  # type: ignore[arg-type] # The names are fields.

    def authenticate(self, token: str, *, now: datetime, access_url: str, tokens_slide: bool) -> Account:
        """Return the account of a token and record its use; raise ApiError 401 for an invalid token.

        ``tokens_slide`` is whether the server's version extends API tokens; it always extends sessions.
        """
        error = self._authentication_error(token, now=now, access_url=access_url)
        if error is not None:
            raise error
        account = self._by_key[token.partition("-")[0]]
        changes: dict[str, object] = {}
        if account.status == "dormant":
            changes["status"] = "active"
        if account.last_used is None or now - account.last_used > _UPDATE_INTERVAL:
            changes["last_used"] = now
        slides = account.sliding_expiration and (tokens_slide or account.login_type != "token")
        if account.expires_at is not None and slides:
            new_expiry = now + account.lifetime
            if new_expiry - account.expires_at > _UPDATE_INTERVAL:
                changes["expires_at"] = new_expiry
        if changes:
            self._by_key[account.key_id] = account = replace(account, **changes)  # type: ignore[arg-type] # As above.
        return account

    def _authentication_error(self, token: str, *, now: datetime, access_url: str) -> ApiError | None:
        account = self._by_key.get(token.partition("-")[0])
        if not token:
            detail = 'Cookie "coder_session_token" or query parameter must be provided.'
        elif format_error := _format_error(token):
            detail = f"Invalid API key format: {format_error}"
        elif account is None:
            detail = "API key is invalid."
        elif account.token != token:
            detail = "API key secret is invalid."
        elif account.expires_at is not None and account.expires_at <= now:
            detail = f'API key expired at "{account.expires_at.isoformat(sep=" ")}".'
        elif account.status == "suspended":
            return account_not_active(account.status)
        else:
            return None
        return unauthorized(detail, access_url=access_url)


def _format_error(token: str) -> str:
    parts = token.split("-")
    if len(parts) != 2:
        return f"incorrect amount of API key parts, expected 2 got {len(parts)}"
    for part, name, length in zip(parts, ("ID", "secret"), (10, 22), strict=True):
        if len(part) != length:
            return f"invalid API key {name} length, expected {length} got {len(part)}"
    return ""


def _grants_permission(grants: Iterable[str], resource: str, action: str) -> bool:
    accepted = {f"{resource}:{action}", f"{resource}:*", "*:*"}
    return any(grant in accepted for grant in grants)
