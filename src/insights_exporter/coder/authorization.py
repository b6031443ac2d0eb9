"""Questions on what the token's account may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

__all__ = ["PERMISSION_CHECKS", "AuthorizationCheck", "batch_checks"]

MAX_RESOURCE_CHECKS = 10
"""How many checks of a single resource Coder takes in one request."""


class AuthorizationCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """May the account do the action to such a resource? Without ids the question is on the whole site."""

    resource_type: str
    action: str
    organization_id: str = ""
    owner_id: str = ""
    resource_id: str = ""
    any_org: bool = False

    def to_request(self) -> dict[str, object]:
        """Return the check as Coder's request holds it."""
        names = ("resource_type", "organization_id", "owner_id", "resource_id", "any_org")
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
"""What the exporter would like to be allowed."""


def batch_checks(checks: Mapping[str, AuthorizationCheck]) -> Iterator[dict[str, AuthorizationCheck]]:
    """Yield the checks in groups that Coder accepts in one request each."""
    batch: dict[str, AuthorizationCheck] = {}
    resource_checks = 0
    for key, check in checks.items():
        if check.resource_id and resource_checks == MAX_RESOURCE_CHECKS:
            yield batch
            batch, resource_checks = {}, 0
        batch[key] = check
        resource_checks += bool(check.resource_id)
    if batch:
        yield batch
