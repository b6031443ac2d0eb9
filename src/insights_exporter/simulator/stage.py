"""A made-up deployment, ready to be served: what ``demo`` and ``simulate`` start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import GeneratedWorld, Size, generate

__all__ = ["DEMO_TOKEN", "OWNER_TOKEN", "stage"]

DEMO_TOKEN = "insightsxp-demotokendemotokendemo"  # noqa: S105 - it opens the simulator alone.
"""Speaks for an auditor and template admin, as an exporter should be."""

OWNER_TOKEN = "ownerowner-demotokendemotokendemo"  # noqa: S105 - as above.
"""Speaks for the owner."""


def stage(
    size: Size,
    *,
    seed: int = 1,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    options: ApiOptions | None = None,
    world: GeneratedWorld | None = None,
) -> SimulatedDeployment:
    """Return a deployment of that size with two accounts and a licence for a few more seats than users."""
    made = world or generate(size, seed=seed)
    chosen = options or ApiOptions(user_limit=max(5, round(len(made.users) * 1.15 / 5) * 5))
    accounts = Accounts(
        [Account(token=DEMO_TOKEN), Account(token=OWNER_TOKEN, user="owner", roles=frozenset({"owner"}))]
    )
    return SimulatedDeployment(made, accounts, now, chosen)
