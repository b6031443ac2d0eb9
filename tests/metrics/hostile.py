"""Renders a snapshot of very many distinct label values: ``python -m tests.metrics.hostile COUNT SEED``.

Half of the values are users, half are values of a parameter. Writes as JSON what it saw; SEED only shuffles.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import resource
import sys
from datetime import UTC, datetime, timedelta

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


async def render(count: int, seed: int) -> dict[str, object]:
    """Render, and return what is to be seen of it."""
    found = snapshot(count, random.Random(seed))
    before = _megabytes()
    page = Exposition(redaction=Redaction(UserNames.NAMED), limits=LimitSettings(), free_text=True)
    await page.publish(found)
    text = page.page(Format.OPENMETRICS, gzip=False)
    return {
        "snapshot_megabytes": before,
        "peak_megabytes": _megabytes(),
        "bytes": len(text),
        "series": sum(not line.startswith(b"#") for line in text.splitlines()),
        "sha256": hashlib.sha256(b"\n".join(sorted(text.splitlines()))).hexdigest(),
        "page": text.decode() if count <= 100_000 else "",
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(render(int(sys.argv[1]), int(sys.argv[2])))))
