"""Who may ask, and what for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from insights_exporter.simulator.api.errors import ApiError, account_not_active, unauthorized

__all__ = ["SITE_ROLES", "Account", "Accounts"]

SITE_ROLES: Mapping[str, frozenset[str]] = {
    "owner": frozenset({"*:*"}),
    "auditor": frozenset(
        {
            "template:read",
            "template:view_insights",
            "user:read",
            "organization:read",
            "deployment_stats:read",
            "deployment_config:read",
        }
    ),
    "template-admin": frozenset({"template:*", "user:read", "organization:read", "workspace:read"}),
    "user-admin": frozenset({"user:*", "organization:read"}),
    "member": frozenset(),
}
"""What each role may do in the whole deployment, as ``resource:action``."""

ORGANIZATION_ROLES: Mapping[str, frozenset[str]] = {
    "organization-admin": frozenset({"template:*", "workspace:*", "organization:*", "user:read"}),
    "organization-template-admin": frozenset({"template:*", "workspace:read", "organization:read"}),
    "organization-auditor": frozenset({"template:read", "template:view_insights", "organization:read"}),
}
"""What each role may do inside its organization."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A token, the user it speaks for, and what they may do.

    ``user`` is a username; where the world has none of that name, the account is a user of its own.
    ``organization_roles`` maps names of organizations to roles there. ``administers`` holds ids of templates
    whose access list grants everything. ``scopes`` narrows the token. A use moves ``expires_at`` to
    ``lifetime`` later, as Coder does, unless ``sliding`` is off.
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

    @property
    def key_id(self) -> str:
        """The part of the token that is no secret."""
        return self.token.partition("-")[0]

    def can(self, resource: str, action: str) -> bool:
        """Say whether the account may do this in the whole deployment."""
        grants = (grant for role in self.roles for grant in SITE_ROLES.get(role, frozenset()))
        return _grants_permission(grants, resource, action) and self.scope_allows(resource, action)

    def can_in_organization(self, organization: str, resource: str, action: str) -> bool:
        """Say whether the account may do this in the organization of that name."""
        if self.can(resource, action):
            return True
        roles = self.organization_roles.get(organization, frozenset())
        grants = (grant for role in roles for grant in ORGANIZATION_ROLES.get(role, frozenset()))
        return _grants_permission(grants, resource, action) and self.scope_allows(resource, action)

    def scope_allows(self, resource: str, action: str) -> bool:
        """Say whether the token's scopes leave room for this, whatever the user may do."""
        if self.scopes & {"all", "coder:all"}:
            return True
        return _grants_permission(self.scopes, resource, action)


class Accounts:
    """All accounts of a deployment; tests and the control route change them while it runs."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_key: dict[str, Account] = {}
        for account in accounts:
            self.add(account)

    def __iter__(self) -> Iterator[Account]:
        """Return all accounts in the order they came."""
        return iter(list(self._by_key.values()))

    def add(self, account: Account) -> None:
        """Let a new token in; raise ValueError where its form is not Coder's."""
        if format_error := _format_error(account.token):
            raise ValueError(f"Expected ten and twenty-two characters with a hyphen between: {format_error}.")
        self._by_key[account.key_id] = account

    def revoke(self, user: str) -> None:
        """Forget every token of a user."""
        self._by_key = {key: account for key, account in self._by_key.items() if account.user != user}

    def update(self, user: str, **fields: object) -> None:
        """Change traits of all tokens of a user, such as ``status="suspended"`` or ``roles``."""
        for key, account in self._by_key.items():
            if account.user == user:
                self._by_key[key] = replace(account, **fields)  # type: ignore[arg-type] # Traits are fields.

    def authenticate(self, token: str, *, now: datetime, access_url: str) -> Account:
        """Return the account of a token; raise the problem where it is not good."""
        error = self._authentication_error(token, now=now, access_url=access_url)
        if error is not None:
            raise error
        account = self._by_key[token.partition("-")[0]]
        changes: dict[str, object] = {}
        if account.status == "dormant":
            changes["status"] = "active"
        if account.expires_at is not None and account.sliding_expiration:
            new_expiry = now + account.lifetime
            # Coder writes at most once an hour.
            if new_expiry - account.expires_at > timedelta(hours=1):
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
