"""How many series there will be, and whether limits bind."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.check.finding import Finding, Level
from insights_exporter.config.settings import Settings
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot

__all__ = ["check_series"]

_NEAR_LIMIT_RATIO = 0.8
_TOP_FAMILIES = 3


def check_series(
    snapshot: Snapshot, settings: Settings, username_policy: UsernamePolicy
) -> Iterator[Finding]:
    """Yield what a scrape of a snapshot would hold, and each family that nears or passes its limit."""
    limits = settings.limits
    rendered = build_families(
        snapshot,
        username_policy=username_policy,
        limits=limits,
        free_text=settings.privacy.parameter_free_text,
    )
    total = sum(rendered.series.values())
    largest = sorted(rendered.series.items(), key=lambda item: (-item[1], item[0]))[:_TOP_FAMILIES]
    largest_names = ", ".join(f"{name} ({count:,})" for name, count in largest if count)
    yield Finding(
        Level.OK,
        "series",
        f"A scrape holds {total:,} series. The largest families: {largest_names or 'none'}.",
    )
    for name, count in sorted(rendered.series.items()):
        limit = limits.families.get(name, limits.series_per_family)
        folded = rendered.folded.get(name, 0)
        advice = f"Raise limits.families.{name}, or narrow filters, or set privacy.users to off."
        if limit == 0:
            continue
        if folded:
            text = f"{count:,} are served and {folded:,} are folded, as the limit is {limit:,}."
            yield Finding(Level.WARNING, f"series of {name}", text, advice)
        elif count >= _NEAR_LIMIT_RATIO * limit:
            text = f"{count:,} of at most {limit:,} are served."
            yield Finding(Level.WARNING, f"series of {name}", text, advice)
