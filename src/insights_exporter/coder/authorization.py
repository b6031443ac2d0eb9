"""Questions on what the token's account may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

__all__ = ["PREFLIGHT", "Check", "batches"]

CHECKS_WITH_RESOURCE = 10
"""How many checks of a single resource Coder takes in one request."""


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """May the account do the action to such a resource? Without ids the question is on the whole site."""

    resource_type: str
    action: str
    organization_id: str = ""
    owner_id: str = ""
    resource_id: str = ""
    any_org: bool = False

    def request(self) -> dict[str, object]:
        """Return the check as Coder's request holds it."""
        names = ("resource_type", "organization_id", "owner_id", "resource_id", "any_org")
        described = {name: getattr(self, name) for name in names}
        return {"object": {name: one for name, one in described.items() if one}, "action": self.action}


PREFLIGHT: Mapping[str, Check] = {
    "insights": Check(resource_type="template", action="view_insights"),
    "templates": Check(resource_type="template", action="read"),
    "users": Check(resource_type="user", action="read"),
    "workspaces": Check(resource_type="workspace", action="read"),
    "deployment_stats": Check(resource_type="deployment_stats", action="read"),
    "deployment_config": Check(resource_type="deployment_config", action="read"),
    "debug": Check(resource_type="debug_info", action="read"),
}
"""What the exporter would like to be allowed."""


def batches(checks: Mapping[str, Check]) -> Iterator[dict[str, Check]]:
    """Yield the checks in groups that Coder accepts in one request each."""
    batch: dict[str, Check] = {}
    single = 0
    for key, check in checks.items():
        if check.resource_id and single == CHECKS_WITH_RESOURCE:
            yield batch
            batch, single = {}, 0
        batch[key] = check
        single += bool(check.resource_id)
    if batch:
        yield batch
