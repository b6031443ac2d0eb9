"""A snapshot as samples of every family in the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from insights_exporter.metrics.families.agent_stats import agent_stats
from insights_exporter.metrics.families.deployment import deployment
from insights_exporter.metrics.families.insights import insights
from insights_exporter.metrics.families.inventory import inventory
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.limits import Limited, Standing, limited
from insights_exporter.metrics.portions import Derived
from insights_exporter.metrics.text import Samples
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings
from insights_exporter.snapshot import Insights, Inventory, Snapshot

__all__ = ["Catalogued", "each_family", "families"]


@dataclass(frozen=True, slots=True)
class Catalogued:
    """Every family that a snapshot feeds, within its limit.

    ``series`` and ``folded`` count, by family name, what is served and what a limit folded or dropped.
    """

    samples: Sequence[Samples]
    series: Mapping[str, int]
    folded: Mapping[str, int]


def families(
    snapshot: Snapshot,
    *,
    redaction: Redaction,
    limits: LimitSettings,
    free_text: bool = False,
    standing: Standing | None = None,
) -> Catalogued:
    """Return every family at once; ``each_family`` takes less memory."""
    found = list(
        each_family(snapshot, redaction=redaction, limits=limits, free_text=free_text, standing=standing)
    )
    return Catalogued(
        samples=[family.samples for family in found],
        series={family.samples.family.name: family.series for family in found},
        folded={family.samples.family.name: family.folded for family in found},
    )


def each_family(  # noqa: PLR0913 - everything from outside is a parameter.
    snapshot: Snapshot,
    *,
    redaction: Redaction,
    limits: LimitSettings,
    free_text: bool = False,
    standing: Standing | None = None,
    derived: Derived | None = None,
) -> Iterator[Limited]:
    """Yield family after family in the catalogue's order, the rows of each held only until the next.

    A part that is unknown has no families. ``free_text`` lets values of parameters out that no template
    declares. Whoever passes the same ``standing`` each time spares counters from falling; the same
    ``derived`` spares looking again through parts that did not change, if nothing but the snapshot does.
    """
    values = LabelValues(redaction, length=limits.label_value_length, derived=derived)
    standing = standing if standing is not None else Standing()
    for samples in _samples(snapshot, values, free_text=free_text):
        limit = limits.families.get(samples.family.name, limits.series_per_family)
        if limit > 0:
            yield limited(samples, limit, may_add=values.may_add, standing=standing)


def _samples(snapshot: Snapshot, values: LabelValues, *, free_text: bool) -> Iterator[Samples]:
    used: Insights | None = snapshot.insights.value if snapshot.insights else None
    if used is not None:
        yield from insights(used, values, free_text=free_text)
    if snapshot.inventory or used is not None:
        held = snapshot.inventory.value if snapshot.inventory else Inventory()
        site = snapshot.deployment.value.dashboard_url if snapshot.deployment else ""
        yield from inventory(held, used, values, free_text=free_text, site=site)
    if snapshot.deployment:
        yield from deployment(snapshot.deployment.value, values)
    if snapshot.agent_stats:
        yield from agent_stats(snapshot.agent_stats.value, values)
