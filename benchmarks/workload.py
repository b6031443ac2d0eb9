"""The families that all compared implementations render."""

from __future__ import annotations

from dataclasses import replace

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot
from tests.support.snapshots import rich_snapshot

__all__ = ["LIMITS", "USERNAME_POLICY", "family_samples", "workload_snapshot"]

USERNAME_POLICY = UsernamePolicy(UsernameMode.NAMED)
LIMITS = LimitSettings(series_per_family=10_000_000)
_SIZES = {10_000: (12, 70), 100_000: (36, 293), 500_000: (120, 470)}


def workload_snapshot(series: int, *, seed: int = 1) -> Snapshot:
    """Return a snapshot with about that many series in the exporter's usual mix.

    Another seed changes all values.
    """
    templates, users = _SIZES[series]
    return rich_snapshot(templates=templates, users=users, seed=seed)


def family_samples(snapshot: Snapshot) -> tuple[list[FamilySamples], int]:
    """Return the prepared families and the number of series."""
    snapshot_families = build_families(snapshot, username_policy=USERNAME_POLICY, limits=LIMITS)
    samples_list = [replace(samples, rows=list(samples), groups=()) for samples in snapshot_families.samples]
    return samples_list, sum(snapshot_families.series.values())
