"""A snapshot as samples of every family in the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from insights_exporter.config.settings import LimitSettings
from insights_exporter.metrics.cardinality import LimitedFamily, StickySelection, apply_limit
from insights_exporter.metrics.encoder.text import FamilySamples
from insights_exporter.metrics.encoder.user_series import DerivationCache
from insights_exporter.metrics.families.agent_stats import agent_stats_families
from insights_exporter.metrics.families.deployment import deployment_families
from insights_exporter.metrics.families.insights import insights_families
from insights_exporter.metrics.families.inventory import inventory_families
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Insights, Inventory, Snapshot

__all__ = ["SnapshotFamilies", "build_families", "iter_families"]


@dataclass(frozen=True, slots=True)
class SnapshotFamilies:
    """Every family that a snapshot feeds, within its limit.

    ``series`` and ``folded`` count, by family name, what is served and what a limit folded or dropped.
    """

    samples: Sequence[FamilySamples]
    series: Mapping[str, int]
    folded: Mapping[str, int]


def build_families(
    snapshot: Snapshot,
    *,
    username_policy: UsernamePolicy,
    limits: LimitSettings,
    free_text: bool = False,
    sticky_selection: StickySelection | None = None,
) -> SnapshotFamilies:
    """Return every family at once; ``each_family`` takes less memory."""
    limited_families = list(
        iter_families(
            snapshot,
            username_policy=username_policy,
            limits=limits,
            free_text=free_text,
            sticky_selection=sticky_selection,
        )
    )
    return SnapshotFamilies(
        samples=[family.samples for family in limited_families],
        series={family.samples.family.name: family.series for family in limited_families},
        folded={family.samples.family.name: family.folded for family in limited_families},
    )


def iter_families(
    snapshot: Snapshot,
    *,
    username_policy: UsernamePolicy,
    limits: LimitSettings,
    free_text: bool = False,
    sticky_selection: StickySelection | None = None,
    derivations: DerivationCache | None = None,
) -> Iterator[LimitedFamily]:
    """Yield family after family in the catalogue's order, the rows of each held only until the next.

    A part that is unknown has no families. ``free_text`` lets values of parameters out that no template
    declares. Whoever passes the same ``standing`` each time spares counters from falling; the same
    ``derived`` spares looking again through parts that did not change, if nothing but the snapshot does.
    """
    values = LabelValues(username_policy, max_length=limits.label_value_length, derivations=derivations)
    sticky_selection = sticky_selection if sticky_selection is not None else StickySelection()
    for samples in _snapshot_samples(snapshot, values, free_text=free_text):
        limit = limits.families.get(samples.family.name, limits.series_per_family)
        if limit > 0:
            yield apply_limit(samples, limit, may_merge=values.may_merge, sticky_selection=sticky_selection)


def _snapshot_samples(snapshot: Snapshot, values: LabelValues, *, free_text: bool) -> Iterator[FamilySamples]:
    insights_data: Insights | None = snapshot.insights.value if snapshot.insights else None
    if insights_data is not None:
        yield from insights_families(insights_data, values, free_text=free_text)
    if snapshot.inventory or insights_data is not None:
        inventory_data = snapshot.inventory.value if snapshot.inventory else Inventory()
        coder_url = snapshot.deployment.value.dashboard_url if snapshot.deployment else ""
        yield from inventory_families(
            inventory_data, insights_data, values, free_text=free_text, coder_url=coder_url
        )
    if snapshot.deployment:
        yield from deployment_families(snapshot.deployment.value, values)
    if snapshot.agent_stats:
        yield from agent_stats_families(snapshot.agent_stats.value, values)
