"""Small groups in the inventory: templates with few owners, rare idle times and rarely used relays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from insights_exporter.cell_suppression import (
    band_of,
    describes_too_few,
    merge_small_bands,
    value_in_band,
)
from insights_exporter.metrics.catalogue import IDLE_BUCKETS
from insights_exporter.snapshot import Agent, Inventory, TemplateKey, Workspace

__all__ = ["suppress_inventory", "workspaces_by_owner"]


def workspaces_by_owner(workspaces: Iterable[Workspace]) -> dict[TemplateKey, Counter[str]]:
    """Return the number of workspaces of each owner by template; nobody owns prebuilt ones."""
    counts: defaultdict[TemplateKey, Counter[str]] = defaultdict(Counter)
    for workspace in workspaces:
        if not workspace.is_prebuild:
            counts[workspace.key][workspace.owner] += 1
    return dict(counts)


def suppress_inventory(
    data: Inventory, at: datetime, min_group_size: int, withheld: Counter[str]
) -> Inventory:
    """Return the inventory without the workspaces of templates that have few owners.

    In the other templates, the idle times of a few owners are moved to the next shorter band. A relay that
    the agents of few owners prefer is removed from them.
    """
    owners = workspaces_by_owner(data.workspaces)
    small = frozenset(key for key, counts in owners.items() if describes_too_few(len(counts), min_group_size))
    withheld["workspaces"] += len(small)
    visible: Sequence[Workspace] = [
        workspace for workspace in data.workspaces if workspace.is_prebuild or workspace.key not in small
    ]
    visible = _merge_idle_times(visible, at, min_group_size, withheld)
    visible = _remove_rare_relays(visible, min_group_size, withheld)
    templates = [
        msgspec.structs.replace(template, build_durations={}) if template.key in small else template
        for template in data.templates
    ]
    return replace(
        data,
        templates=templates,
        workspaces=visible,
        groups=(),
        withheld_templates=small,
    )


def _merge_idle_times(
    workspaces: Sequence[Workspace], at: datetime, min_group_size: int, withheld: Counter[str]
) -> list[Workspace]:
    """Return the workspaces, with the last use of a band that few owners have moved to a shorter band."""
    owners: defaultdict[TemplateKey, list[set[str]]] = defaultdict(
        lambda: [set() for _ in range(len(IDLE_BUCKETS) + 1)]
    )
    for workspace in workspaces:
        if (idle := _idle_seconds(workspace, at)) is not None:
            owners[workspace.key][band_of(idle, IDLE_BUCKETS)].add(workspace.owner)
    targets = {key: merge_small_bands(bands, min_group_size) for key, bands in owners.items()}
    withheld["idle_times"] += sum(
        bool(owners[key][band]) and target != band
        for key, bands in targets.items()
        for band, target in enumerate(bands)
    )
    return [_with_idle_band(workspace, at, targets) for workspace in workspaces]


def _with_idle_band(
    workspace: Workspace, at: datetime, targets: Mapping[TemplateKey, Sequence[int]]
) -> Workspace:
    idle = _idle_seconds(workspace, at)
    if idle is None:
        return workspace
    band = band_of(idle, IDLE_BUCKETS)
    target = targets[workspace.key][band]
    if target == band:
        return workspace
    last_used = at - timedelta(seconds=value_in_band(target, IDLE_BUCKETS))
    return msgspec.structs.replace(workspace, last_used=last_used)


def _idle_seconds(workspace: Workspace, at: datetime) -> float | None:
    """Return the time since the last use; None for prebuilt workspaces, and if the time is unknown."""
    if workspace.is_prebuild or workspace.last_used is None:
        return None
    return max(0.0, (at - workspace.last_used).total_seconds())


def _remove_rare_relays(
    workspaces: Sequence[Workspace], min_group_size: int, withheld: Counter[str]
) -> list[Workspace]:
    """Return the workspaces; their agents have no relay if few owners have it."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for workspace in workspaces:
        for agent in workspace.agents:
            if agent.relay and not workspace.is_prebuild:
                owners[agent.relay].add(workspace.owner)
    rare = {relay for relay, names in owners.items() if describes_too_few(len(names), min_group_size)}
    withheld["relays"] += len(rare)
    if not rare:
        return list(workspaces)
    return [
        msgspec.structs.replace(
            workspace, agents=tuple(_without_relay(agent, rare) for agent in workspace.agents)
        )
        for workspace in workspaces
    ]


def _without_relay(agent: Agent, rare: set[str]) -> Agent:
    if agent.relay not in rare:
        return agent
    return msgspec.structs.replace(agent, relay="", relay_latency=None)
