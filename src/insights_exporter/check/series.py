"""How many series there will be, and whether limits bind."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.check.finding import Finding, Level
from insights_exporter.metrics.families import families
from insights_exporter.redaction import Redaction
from insights_exporter.settings import Settings
from insights_exporter.snapshot import Snapshot

__all__ = ["estimate"]

_NEAR = 0.8
_LARGEST = 3


def estimate(snapshot: Snapshot, settings: Settings, redaction: Redaction) -> Iterator[Finding]:
    """Yield what a scrape of a snapshot would hold, and each family that nears or passes its limit."""
    limits = settings.limits
    found = families(
        snapshot, redaction=redaction, limits=limits, free_text=settings.privacy.parameter_free_text
    )
    total = sum(found.series.values())
    largest = sorted(found.series.items(), key=lambda one: (-one[1], one[0]))[:_LARGEST]
    named = ", ".join(f"{name} ({count:,})" for name, count in largest if count)
    yield Finding(
        Level.OK, "series", f"A scrape holds {total:,} series. The largest families: {named or 'none'}."
    )
    for name, count in sorted(found.series.items()):
        limit = limits.families.get(name, limits.series_per_family)
        folded = found.folded.get(name, 0)
        advice = f"Raise limits.families.{name}, or narrow filters, or set privacy.users to off."
        if limit == 0:
            continue
        if folded:
            text = f"{count:,} are served and {folded:,} are folded, as the limit is {limit:,}."
            yield Finding(Level.WARNING, f"series of {name}", text, advice)
        elif count >= _NEAR * limit:
            text = f"{count:,} of at most {limit:,} are served."
            yield Finding(Level.WARNING, f"series of {name}", text, advice)
