"""Renders very many distinct label values: ``python -m tests.metrics.hostile COUNT LIMIT SEED FOLDER``.

Half of the values are users, half are values of a parameter; each family may have LIMIT series. Puts both
pages into the folder and writes as JSON what it took; SEED only shuffles.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.text import Format
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings, UserNames
from insights_exporter.snapshot import (
    Insights,
    ParameterUse,
    Reading,
    Snapshot,
    TemplateKey,
    TemplateUse,
    WindowUse,
)

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
TEMPLATES = 20
UGLY = '\n"\\\x00\ud800\u202e🦀 ' + "é" * 150


def snapshot(count: int, rng: random.Random) -> Snapshot:
    """Return a snapshot with ``count`` values, every tenth of which is ugly and longer than any limit."""
    each = count // TEMPLATES // 2

    def values(place: int, kind: str) -> list[str]:
        found = [f"{kind}-{place}-{n}" + (UGLY if n % 10 == 0 else "") for n in range(each)]
        rng.shuffle(found)
        return found

    def use(place: int) -> TemplateUse:
        window = WindowUse(
            "7d",
            NOW - timedelta(days=7),
            NOW,
            activity={name: float(len(name) * 60 % 977) for name in values(place, "user")},
            parameters=(ParameterUse("p", "string", "P", dict.fromkeys(values(place, "value"), 1)),),
        )
        return TemplateUse(TemplateKey("acme", f"template-{place}"), (window,))

    found = Insights(TemplateUse(None), [use(place) for place in range(TEMPLATES)])
    return Snapshot(NOW, insights=Reading(found, NOW))


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def render(count: int, limit: int, seed: int, folder: Path) -> dict[str, float]:
    """Render, and return how many megabytes it took."""
    found = snapshot(count, random.Random(seed))
    before = _megabytes()
    limits = LimitSettings(series_per_family=limit)
    page = Exposition(redaction=Redaction(UserNames.NAMED), limits=limits, free_text=True)
    await page.publish(found)
    for form in Format:
        (folder / f"{form.name}-{seed}").write_bytes(page.page(form, gzip=False))
    return {"snapshot": before, "peak": _megabytes()}


if __name__ == "__main__":
    many, most, order = map(int, sys.argv[1:4])
    sys.stdout.write(json.dumps(asyncio.run(render(many, most, order, Path(sys.argv[4])))))
