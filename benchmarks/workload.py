"""The same families for every contender."""

from __future__ import annotations

from dataclasses import replace

from insights_exporter.metrics.families import families
from insights_exporter.metrics.text import Samples
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings, UserNames
from insights_exporter.snapshot import Snapshot
from tests.support.snapshots import rich_snapshot

__all__ = ["LIMITS", "REDACTION", "catalogued", "deployment"]

REDACTION = Redaction(UserNames.NAMED)
LIMITS = LimitSettings(series_per_family=10_000_000)
_SIZES = {10_000: (12, 70), 100_000: (36, 293), 500_000: (120, 470)}


def deployment(series: int, *, seed: int = 1) -> Snapshot:
    """Return a deployment with about that many series, mixed as the exporter serves them.

    All numbers of another seed are others.
    """
    templates, users = _SIZES[series]
    return rich_snapshot(templates=templates, users=users, seed=seed)


def catalogued(snapshot: Snapshot) -> tuple[list[Samples], int]:
    """Return the families, their rows held, and the number of series."""
    found = families(snapshot, redaction=REDACTION, limits=LIMITS)
    held = [
        replace(samples, numbers=list(samples.numbers), distributions=list(samples.distributions))
        for samples in found.samples
    ]
    return held, sum(found.series.values())
