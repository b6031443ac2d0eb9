"""The table of routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from insights_exporter.simulator.api import (
    insights_routes,
    inventory_routes,
    system_routes,
    token_routes,
    user_routes,
    workspace_routes,
)
from insights_exporter.simulator.api.deployment import RequestContext
from insights_exporter.simulator.api.version import Capability

__all__ = ["ROUTES", "Route"]

_TOKENS: Final = "/users/me/keys/tokens"


@dataclass(frozen=True, slots=True)
class Route:
    """A path below ``/api/v2`` with its handler, which returns the decoded body.

    ``path`` names the route in faults and request counts; ``alias`` is a second pattern of the same route.
    ``status`` is that of a success; 204 has no body. ``is_text`` marks a handler that returns text.
    """

    path: str
    handler: Callable[[RequestContext], Any]
    method: str = "GET"
    since: Capability | None = None
    is_text: bool = False
    status: int = 200
    alias: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """All path patterns of the route."""
        return (self.path, self.alias) if self.alias else (self.path,)


ROUTES: Final = (
    Route("/users/me", user_routes.me),
    Route(_TOKENS, token_routes.tokens, alias="/users/{user}/keys/tokens"),
    Route(_TOKENS, token_routes.create_token, "POST", status=201, alias="/users/{user}/keys/tokens"),
    Route(f"{_TOKENS}/tokenconfig", token_routes.token_config, alias="/users/{user}/keys/tokens/tokenconfig"),
    Route("/users/me/keys/{key_id}", token_routes.key, alias="/users/{user}/keys/{key_id}"),
    Route(
        "/users/me/keys/{key_id}",
        token_routes.delete_key,
        "DELETE",
        status=204,
        alias="/users/{user}/keys/{key_id}",
    ),
    Route("/users/me/organizations", inventory_routes.my_organizations),
    Route("/users/{user}", user_routes.user),
    Route("/users", user_routes.users),
    Route("/groups", user_routes.groups),
    Route("/authcheck", system_routes.authcheck, "POST"),
    Route("/organizations", inventory_routes.organizations),
    Route("/organizations/{id}/templates", inventory_routes.organization_templates),
    Route("/templates", inventory_routes.templates),
    Route("/templates/{id}", inventory_routes.template),
    Route("/templates/{id}/daus", insights_routes.template_daus),
    Route("/templateversions/{id}/rich-parameters", inventory_routes.rich_parameters),
    Route("/workspaces", workspace_routes.workspaces),
    Route("/insights/templates", insights_routes.template_insights),
    Route("/insights/user-activity", insights_routes.user_activity),
    Route("/insights/user-latency", insights_routes.user_latency),
    Route("/insights/daus", insights_routes.daus),
    Route(
        "/insights/user-status-counts",
        insights_routes.user_status_counts,
        since=Capability.USER_STATUS_COUNTS,
    ),
    Route("/deployment/stats", system_routes.deployment_stats),
    Route("/debug/health", system_routes.health),
    Route("/debug/metrics", system_routes.debug_metrics, since=Capability.DEBUG_METRICS, is_text=True),
    Route("/entitlements", system_routes.entitlements),
)
