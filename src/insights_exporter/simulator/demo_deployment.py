"""A generated deployment with accounts and a licence, as ``demo`` and ``simulate`` serve it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world
from insights_exporter.simulator.options import ApiOptions

__all__ = ["DEMO_TOKEN", "OWNER_TOKEN", "demo_deployment"]

DEMO_TOKEN: Final = "insightsxp-demotokendemotokendemo"  # noqa: S105 # It opens nothing but the simulator.
"""Token of the exporter's service account, an auditor and template admin."""

OWNER_TOKEN: Final = "ownerowner-demotokendemotokendemo"  # noqa: S105 # As above.
"""Token of an owner."""


def demo_deployment(
    size: Size,
    *,
    seed: int = 1,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    options: ApiOptions | None = None,
    world: GeneratedWorld | None = None,
) -> SimulatedDeployment:
    """Return a deployment of that size with two accounts.

    The default options include a licence with about 15 % more seats than users, and its meters.
    """
    generated_world = world or generate_world(size, seed=seed)
    seats = max(5, round(len(generated_world.users) * 1.15 / 5) * 5)
    default_options = ApiOptions(
        user_limit=seats,
        feature_limits={
            "managed_agent_limit": 1000,
            "ai_governance_user_limit": 10,
            # Unlimited.
            "agent_runtime_hours": None,
        },
    )
    accounts = Accounts(
        [Account(token=DEMO_TOKEN), Account(token=OWNER_TOKEN, user="owner", roles=frozenset({"owner"}))]
    )
    return SimulatedDeployment(generated_world, accounts, now, options or default_options)
