"""Responses about the deployment as a whole: statistics, health and licence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct, field

from insights_exporter.coder.models.fields import (
    Amount,
    Count,
    Id,
    Milliseconds,
    Nanoseconds,
    Text,
    Time,
    check_times,
    none_if_zero_time,
    to_seconds,
)

__all__ = [
    "PERMISSION_CHECKS",
    "AuthorizationCheck",
    "BuildInfo",
    "DatabaseHealth",
    "DeploymentStats",
    "Entitlement",
    "Entitlements",
    "Health",
    "NewToken",
    "Organization",
    "PercentilesMs",
    "Role",
    "SectionHealth",
    "SessionCount",
    "Token",
    "TokenConfig",
    "User",
    "UsersPage",
    "WorkspaceStats",
    "batch_checks",
]


class PercentilesMs(Struct, frozen=True, gc=False):
    """Percentiles in milliseconds; the keys are upper case here; -1 without a sample."""

    p50: Milliseconds = field(name="P50", default=-1)
    p95: Milliseconds = field(name="P95", default=-1)


class WorkspaceStats(Struct, frozen=True, gc=False):
    """Workspaces by build status, and their traffic of the last 15 minutes; None is unknown."""

    pending: Count | None = None
    building: Count | None = None
    running: Count | None = None
    failed: Count | None = None
    stopped: Count | None = None
    rx_bytes: Count | None = None
    tx_bytes: Count | None = None
    connection_latency_ms: PercentilesMs = PercentilesMs()

    @property
    def p50_seconds(self) -> float | None:
        """The median round-trip time; None without a sample."""
        return to_seconds(self.connection_latency_ms.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile of the round-trip time; None without a sample."""
        return to_seconds(self.connection_latency_ms.p95)


class SessionCount(Struct, frozen=True, gc=False):
    """Open sessions; None is unknown."""

    vscode: Count | None = None
    ssh: Count | None = None
    jetbrains: Count | None = None
    reconnecting_pty: Count | None = None


class DeploymentStats(Struct, frozen=True, gc=False):
    """``/deployment/stats``."""

    workspaces: WorkspaceStats
    session_count: SessionCount


class SectionHealth(Struct, frozen=True, gc=False):
    """One section of the health report."""

    healthy: bool = False
    severity: Text = ""


class DatabaseHealth(Struct, frozen=True, gc=False):
    """The database section of the health report."""

    healthy: bool = False
    severity: Text = ""
    latency_ms: Milliseconds = -1


class Health(Struct, frozen=True, gc=False):
    """``/debug/health``; a section that the server does not report is None."""

    healthy: bool
    severity: Text = ""
    time: Time | None = None
    derp: SectionHealth | None = None
    access_url: SectionHealth | None = None
    websocket: SectionHealth | None = None
    database: DatabaseHealth | None = None
    workspace_proxy: SectionHealth | None = None
    provisioner_daemons: SectionHealth | None = None

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.time)

    def sections(self) -> dict[str, SectionHealth | DatabaseHealth]:
        """Return the reported sections by name."""
        parts = {
            "derp": self.derp,
            "access_url": self.access_url,
            "websocket": self.websocket,
            "database": self.database,
            "workspace_proxy": self.workspace_proxy,
            "provisioner_daemons": self.provisioner_daemons,
        }
        return {name: section for name, section in parts.items() if section is not None}


class Entitlement(Struct, frozen=True, gc=False):
    """Entitlement of a licensed feature; ``limit`` and ``actual`` are None if unknown."""

    entitlement: Text = "not_entitled"
    enabled: bool = False
    limit: Amount | None = None
    actual: Amount | None = None


class Entitlements(Struct, frozen=True, gc=False):
    """``/entitlements``."""

    features: dict[str, Entitlement] = {}


_MAX_RESOURCE_CHECKS = 10
"""Checks of single resources that Coder accepts in one request."""


class BuildInfo(Struct, frozen=True, gc=False):
    """``/buildinfo``."""

    version: Text
    deployment_id: Text = ""
    dashboard_url: Text = ""
    external_url: Text = ""


class Role(Struct, frozen=True, gc=False):
    """A role of a user; without an organization it applies to the whole deployment."""

    name: Text
    organization_id: Text = ""


class User(Struct, frozen=True, gc=False):
    """A user of the deployment; the e-mail address is not decoded."""

    id: Id
    username: Text
    name: Text = ""
    avatar_url: Text = ""
    status: Text = ""
    created_at: Time | None = None
    last_seen_at: Time | None = None
    roles: list[Role] = []
    is_service_account: bool = False

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.created_at, self.last_seen_at)

    @property
    def last_seen(self) -> datetime | None:
        """When the user last used Coder; None for never."""
        return none_if_zero_time(self.last_seen_at)


class UsersPage(Struct, frozen=True, gc=False):
    """``/users``; ``count`` is the number of all users, or 0 on an empty page."""

    users: list[User]
    count: Count | None = None


class Token(Struct, frozen=True, gc=False):
    """Metadata of a session token, without the token itself."""

    id: Id
    created_at: Time | None = None
    expires_at: Time | None = None
    lifetime_seconds: Count | None = None
    token_name: Text = ""
    scope: Text = ""
    scopes: list[Text] = []

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.created_at, self.expires_at)


class NewToken(Struct, frozen=True, gc=False):
    """Response to the creation of a token; ``key`` is the token."""

    key: Text

    def __repr__(self) -> str:
        """Return a text without the token."""
        return "NewToken(***)"


class TokenConfig(Struct, frozen=True, gc=False):
    """``/users/me/keys/tokens/tokenconfig``; the lifetime is nanoseconds, 0 is unlimited."""

    max_token_lifetime: Nanoseconds = 0


class Organization(Struct, frozen=True, gc=False):
    """An organization that the account may read."""

    id: Id
    name: Text
    display_name: Text = ""
    icon: Text = ""


class AuthorizationCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The question whether the account may perform an action; without ids for the whole deployment."""

    resource_type: str
    action: str
    organization_id: str = ""
    owner_id: str = ""
    resource_id: str = ""

    def to_request(self) -> dict[str, object]:
        """Return the check as a JSON object of the request."""
        names = ("resource_type", "organization_id", "owner_id", "resource_id")
        fields = {name: getattr(self, name) for name in names}
        return {"object": {name: value for name, value in fields.items() if value}, "action": self.action}


PERMISSION_CHECKS: Mapping[str, AuthorizationCheck] = {
    "insights": AuthorizationCheck(resource_type="template", action="view_insights"),
    "templates": AuthorizationCheck(resource_type="template", action="read"),
    "users": AuthorizationCheck(resource_type="user", action="read"),
    "workspaces": AuthorizationCheck(resource_type="workspace", action="read"),
    "deployment_stats": AuthorizationCheck(resource_type="deployment_stats", action="read"),
    "deployment_config": AuthorizationCheck(resource_type="deployment_config", action="read"),
    "debug": AuthorizationCheck(resource_type="debug_info", action="read"),
}
"""Permissions that the exporter uses."""


def batch_checks(checks: Mapping[str, AuthorizationCheck]) -> Iterator[dict[str, AuthorizationCheck]]:
    """Yield batches of checks that Coder accepts in one request each."""
    batch: dict[str, AuthorizationCheck] = {}
    resource_checks = 0
    for key, check in checks.items():
        if check.resource_id and resource_checks == _MAX_RESOURCE_CHECKS:
            yield batch
            batch, resource_checks = {}, 0
        batch[key] = check
        resource_checks += bool(check.resource_id)
    if batch:
        yield batch
