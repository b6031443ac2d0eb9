"""Samples of every family in the catalogue, from a snapshot and within the series limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from insights_exporter.config.settings import LimitSettings
from insights_exporter.metrics.cardinality import LimitedFamily, StickySelection, apply_limit
from insights_exporter.metrics.derivation_cache import DerivationCache
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.metrics.families.agent_stats import agent_stats_families
from insights_exporter.metrics.families.deployment import deployment_families
from insights_exporter.metrics.families.groups import group_families, onboarding_families
from insights_exporter.metrics.families.insights import insights_families
from insights_exporter.metrics.families.inventory import inventory_families
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Insights, Inventory, Snapshot, Timestamped

__all__ = ["SnapshotFamilies", "build_families", "iter_families"]


@dataclass(frozen=True, slots=True)
class SnapshotFamilies:
    """All families of a snapshot within their limits.

    ``series`` and ``folded`` have, by family name, the series served and the series folded or dropped.
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
    """Return all families at once; ``iter_families`` takes less memory."""
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


def iter_families(  # noqa: PLR0913 - keyword only.
    snapshot: Snapshot,
    *,
    username_policy: UsernamePolicy,
    limits: LimitSettings,
    free_text: bool = False,
    sticky_selection: StickySelection | None = None,
    derivations: DerivationCache | None = None,
) -> Iterator[LimitedFamily]:
    """Yield families in the order of the catalogue; the rows of each can be freed before the next.

    A part that is missing in the snapshot has no families. ``free_text`` shows parameter values that no
    template declares. Pass the same ``sticky_selection`` at each call, or limited counters may decrease. Pass
    the same ``derivations`` to reuse values of unchanged parts; all other arguments must then be equal, too.
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
        inventory = snapshot.inventory or Timestamped(Inventory(), snapshot.collected_at)
        coder_url = snapshot.deployment.value.dashboard_url if snapshot.deployment else ""
        yield from inventory_families(
            inventory,
            insights_data,
            values,
            free_text=free_text,
            coder_url=coder_url,
            unit_price=snapshot.unit_price,
            agent_apps=_agent_apps(snapshot),
        )
        yield from group_families(snapshot.groups, values)
        yield from onboarding_families(snapshot.onboarding, values)
    if snapshot.deployment:
        yield from deployment_families(snapshot.deployment.value, values)
    if snapshot.agent_stats:
        yield from agent_stats_families(snapshot.agent_stats.value, values)


def _agent_apps(snapshot: Snapshot) -> set[str]:
    """Return the apps of agent statistics, of which Coder's Insights may have no row."""
    if snapshot.agent_stats is None:
        return set()
    stats = snapshot.agent_stats.value
    return {app for _, _, app in (*stats.app_latency, *stats.sessions)}
