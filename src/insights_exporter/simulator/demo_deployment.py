"""A made-up deployment, ready to be served: what ``demo`` and ``simulate`` start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world

__all__ = ["DEMO_TOKEN", "OWNER_TOKEN", "demo_deployment"]

DEMO_TOKEN = "insightsxp-demotokendemotokendemo"
"""Speaks for an auditor and template admin, as an exporter should be."""

OWNER_TOKEN = "ownerowner-demotokendemotokendemo"
"""Speaks for the owner."""


def demo_deployment(
    size: Size,
    *,
    seed: int = 1,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    options: ApiOptions | None = None,
    world: GeneratedWorld | None = None,
) -> SimulatedDeployment:
    """Return a deployment of that size with two accounts and a licence for a few more seats than users."""
    generated_world = world or generate_world(size, seed=seed)
    api_options = options or ApiOptions(user_limit=max(5, round(len(generated_world.users) * 1.15 / 5) * 5))
    accounts = Accounts(
        [Account(token=DEMO_TOKEN), Account(token=OWNER_TOKEN, user="owner", roles=frozenset({"owner"}))]
    )
    return SimulatedDeployment(generated_world, accounts, now, api_options)
