"""Who may ask, and what for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from insights_exporter.simulator.api.problem import Problem, signed_out, suspended

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
    administers: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset({"all"})
    status: str = "active"
    expires_at: datetime | None = None
    lifetime: timedelta = timedelta(days=7)
    sliding: bool = True

    @property
    def key_id(self) -> str:
        """The part of the token that is no secret."""
        return self.token.partition("-")[0]

    def may(self, resource: str, action: str) -> bool:
        """Say whether the account may do this in the whole deployment."""
        grants = (one for role in self.roles for one in SITE_ROLES.get(role, frozenset()))
        return _covers(grants, resource, action) and self.scoped(resource, action)

    def may_within(self, organization: str, resource: str, action: str) -> bool:
        """Say whether the account may do this in the organization of that name."""
        if self.may(resource, action):
            return True
        roles = self.organization_roles.get(organization, frozenset())
        grants = (one for role in roles for one in ORGANIZATION_ROLES.get(role, frozenset()))
        return _covers(grants, resource, action) and self.scoped(resource, action)

    def scoped(self, resource: str, action: str) -> bool:
        """Say whether the token's scopes leave room for this, whatever the user may do."""
        if self.scopes & {"all", "coder:all"}:
            return True
        return _covers(self.scopes, resource, action)


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
        if wrong := _malformed(account.token):
            raise ValueError(f"Expected ten and twenty-two characters with a hyphen between: {wrong}.")
        self._by_key[account.key_id] = account

    def revoke(self, user: str) -> None:
        """Forget every token of a user."""
        self._by_key = {key: one for key, one in self._by_key.items() if one.user != user}

    def change(self, user: str, **traits: object) -> None:
        """Change traits of all tokens of a user, such as ``status="suspended"`` or ``roles``."""
        for key, account in self._by_key.items():
            if account.user == user:
                self._by_key[key] = replace(account, **traits)  # type: ignore[arg-type] # Traits are fields.

    def authenticate(self, token: str, *, now: datetime, access_url: str) -> Account:
        """Return the account of a token; raise the problem where it is not good."""
        problem = self._problem(token, now=now, access_url=access_url)
        if problem is not None:
            raise problem
        account = self._by_key[token.partition("-")[0]]
        changes: dict[str, object] = {}
        if account.status == "dormant":
            changes["status"] = "active"
        if account.expires_at is not None and account.sliding:
            renewed = now + account.lifetime
            # Coder writes at most once an hour.
            if renewed - account.expires_at > timedelta(hours=1):
                changes["expires_at"] = renewed
        if changes:
            self._by_key[account.key_id] = account = replace(account, **changes)  # type: ignore[arg-type] # As above.
        return account

    def _problem(self, token: str, *, now: datetime, access_url: str) -> Problem | None:
        account = self._by_key.get(token.partition("-")[0])
        if not token:
            detail = 'Cookie "coder_session_token" or query parameter must be provided.'
        elif wrong := _malformed(token):
            detail = f"Invalid API key format: {wrong}"
        elif account is None:
            detail = "API key is invalid."
        elif account.token != token:
            detail = "API key secret is invalid."
        elif account.expires_at is not None and account.expires_at <= now:
            detail = f'API key expired at "{account.expires_at.isoformat(sep=" ")}".'
        elif account.status == "suspended":
            return suspended(account.status)
        else:
            return None
        return signed_out(detail, access_url=access_url)


def _malformed(token: str) -> str:
    parts = token.split("-")
    if len(parts) != 2:
        return f"incorrect amount of API key parts, expected 2 got {len(parts)}"
    for part, name, length in zip(parts, ("ID", "secret"), (10, 22), strict=True):
        if len(part) != length:
            return f"invalid API key {name} length, expected {length} got {len(part)}"
    return ""


def _covers(grants: Iterable[str], resource: str, action: str) -> bool:
    wanted = {f"{resource}:{action}", f"{resource}:*", "*:*"}
    return any(grant in wanted for grant in grants)
