"""The transformation of a snapshot into what may be shown with ``privacy.min_group_size``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Final

from insights_exporter.cell_suppression import cells_to_withhold, describes_too_few
from insights_exporter.metrics.derivation_cache import DerivationCache
from insights_exporter.small_groups.agent_stats import suppress_agent_stats
from insights_exporter.small_groups.groups import suppress_groups
from insights_exporter.small_groups.insights import suppress_insights
from insights_exporter.small_groups.inventory import suppress_inventory, workspaces_by_owner
from insights_exporter.snapshot import Deployment, Onboarding, Snapshot, Timestamped

__all__ = ["WITHHELD_KINDS", "SuppressedSnapshot", "suppress_small_groups"]

WITHHELD_KINDS: Final = (
    "accounts",
    "active_users",
    "agent_stats",
    "app_usage",
    "budgets",
    "deployment_usage",
    "groups",
    "idle_times",
    "latency",
    "latency_bands",
    "parameter_values",
    "relays",
    "template_usage",
    "workspaces",
)
"""What is counted as withheld."""

_PEOPLE_SUFFIX: Final = "user_limit"
"""End of the names of licensed features whose use is a number of people."""


@dataclass(frozen=True, slots=True)
class SuppressedSnapshot:
    """A snapshot that may be shown; ``withheld`` has the number of withheld items by kind."""

    snapshot: Snapshot
    withheld: Mapping[str, int] = field(default_factory=dict)


def suppress_small_groups(
    snapshot: Snapshot, min_group_size: int, derivations: DerivationCache | None = None
) -> SuppressedSnapshot:
    """Return the snapshot without numbers that describe fewer than ``min_group_size`` people.

    Usage by user is removed. What the published numbers would give away by subtraction is withheld as well,
    and counted as well. With a minimum of 0 or 1 the result has the same snapshot. Pass the same
    ``derivations`` with the same minimum to reuse the result of unchanged parts.
    """
    if min_group_size <= 1:
        return SuppressedSnapshot(snapshot)
    derivations = derivations or DerivationCache()
    derivations.rotate()
    collected = snapshot.inventory, snapshot.insights, snapshot.deployment
    suppressed, counts = derivations.get_or_compute_many(
        "collected", (*collected, *snapshot.groups), partial(_suppress_collected, snapshot, min_group_size)
    )
    withheld = Counter(counts)
    agent_stats, insights = snapshot.agent_stats, suppressed.insights
    if agent_stats:
        published = insights.value if insights else None
        agent_stats = Timestamped(
            suppress_agent_stats(agent_stats.value, published, withheld), agent_stats.at
        )
    return SuppressedSnapshot(
        replace(
            snapshot,
            inventory=suppressed.inventory,
            insights=insights,
            deployment=suppressed.deployment,
            groups=suppressed.groups,
            onboarding=_suppress_onboarding(snapshot.onboarding, min_group_size, withheld),
            agent_stats=agent_stats,
        ),
        dict(withheld),
    )


def _suppress_collected(snapshot: Snapshot, min_group_size: int) -> tuple[Snapshot, Counter[str]]:
    """Return the snapshot with all parts but agent statistics suppressed, and what was withheld."""
    withheld = Counter(dict.fromkeys(WITHHELD_KINDS, 0))
    inventory, insights, deployment = snapshot.inventory, snapshot.insights, snapshot.deployment
    owners = workspaces_by_owner(inventory.value.workspaces) if inventory else {}
    if insights:
        insights = Timestamped(suppress_insights(insights, owners, min_group_size, withheld), insights.at)
    if inventory:
        inventory = Timestamped(
            suppress_inventory(inventory.value, inventory.at, min_group_size, withheld), inventory.at
        )
    if deployment:
        deployment = Timestamped(
            _suppress_deployment(deployment.value, min_group_size, withheld), deployment.at
        )
    suppressed = replace(snapshot, inventory=inventory, insights=insights, deployment=deployment)
    groups = suppress_groups(snapshot.groups, *_published_people(suppressed), min_group_size, withheld)
    return replace(suppressed, groups=groups), withheld


def _published_people(snapshot: Snapshot) -> tuple[int | None, dict[str, int | None]]:
    """Return the published people of the deployment: accounts, and active users by window."""
    accounts = sum(snapshot.deployment.value.users.values()) if snapshot.deployment else None
    windows = snapshot.insights.value.deployment.windows if snapshot.insights else ()
    active_users = {window.window: window.active_users for window in windows}
    group_windows = (window.window for group in snapshot.groups for window in group.windows)
    return accounts, dict.fromkeys(group_windows) | active_users


def _suppress_deployment(data: Deployment, min_group_size: int, withheld: Counter[str]) -> Deployment:
    """Return the deployment without small numbers of accounts and of licensed users."""
    small = cells_to_withhold(data.users, sum(data.users.values()), min_group_size)
    small_features = {
        feature
        for feature, used in data.license_used.items()
        if feature.endswith(_PEOPLE_SUFFIX) and describes_too_few(int(used), min_group_size)
    }
    withheld["accounts"] += len(small) + len(small_features)
    return replace(
        data,
        users={status: count for status, count in data.users.items() if status not in small},
        license_used={
            feature: used for feature, used in data.license_used.items() if feature not in small_features
        },
    )


def _suppress_onboarding(
    data: Onboarding | None, min_group_size: int, withheld: Counter[str]
) -> Onboarding | None:
    """Return the onboarding, or None if any number of it, or a difference of two, is about few people.

    Accounts between two stages did not reach the later one. Accounts that never signed in are new ones, of
    which the stages give the number, or older ones.
    """
    if data is None:
        return None
    stages, inactive = data.stages, data.inactive
    people = [*stages.values(), *map(len, inactive.values())]
    people += [earlier - later for earlier, later in pairwise(stages.values())]
    if "never_signed_in" in inactive and {"created", "signed_in"} <= stages.keys():
        people.append(len(inactive["never_signed_in"]) - (stages["created"] - stages["signed_in"]))
    if not any(describes_too_few(count, min_group_size) for count in people):
        return data
    withheld["accounts"] += len(stages) + len(inactive)
    return None
