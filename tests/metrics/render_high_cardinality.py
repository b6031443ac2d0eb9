"""Renders a snapshot of high cardinality and prints the memory as JSON.

Run ``python -m tests.metrics.render_high_cardinality COUNT LIMIT SEED FOLDER``. Half of the COUNT values are
users, half are parameter values. Each family has at most LIMIT series. SEED sets the order of the values. The
expositions in both formats are written to FOLDER.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import (
    Insights,
    ParameterUsage,
    Snapshot,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    WindowUsage,
)

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
TEMPLATES = 20
UNPRINTABLE_SUFFIX = '\n"\\\x00\ud800\u202e🦀 ' + "é" * 150


def large_snapshot(count: int, rng: random.Random) -> Snapshot:
    """Return a snapshot with ``count`` values; every tenth has special characters and is too long."""
    values_per_template = count // TEMPLATES // 2

    def values(template_index: int, kind: str) -> list[str]:
        names = [
            f"{kind}-{template_index}-{n}" + (UNPRINTABLE_SUFFIX if n % 10 == 0 else "")
            for n in range(values_per_template)
        ]
        rng.shuffle(names)
        return names

    def template_usage(template_index: int) -> TemplateUsage:
        window = WindowUsage(
            "7d",
            NOW - timedelta(days=7),
            NOW,
            activity={name: float(len(name) * 60 % 977) for name in values(template_index, "user")},
            parameters=(
                ParameterUsage("p", "string", "P", dict.fromkeys(values(template_index, "value"), 1)),
            ),
        )
        return TemplateUsage(TemplateKey("acme", f"template-{template_index}"), (window,))

    insights = Insights(
        TemplateUsage(None), [template_usage(template_index) for template_index in range(TEMPLATES)]
    )
    return Snapshot(NOW, insights=Timestamped(insights, NOW))


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def render(count: int, limit: int, seed: int, folder: Path) -> dict[str, float]:
    """Render, and return megabytes of the process before and after."""
    data = large_snapshot(count, random.Random(seed))
    before = _megabytes()
    limits = LimitSettings(series_per_family=limit)
    exposition = Exposition(username_policy=UsernamePolicy(UsernameMode.NAMED), limits=limits, free_text=True)
    await exposition.publish(data)
    for exposition_format in Format:
        (folder / f"{exposition_format.name}-{seed}").write_bytes(
            exposition.body(exposition_format, gzip=False)
        )
    return {"snapshot": before, "peak": _megabytes()}


if __name__ == "__main__":
    value_count, series_limit, shuffle_seed = map(int, sys.argv[1:4])
    sys.stdout.write(
        json.dumps(asyncio.run(render(value_count, series_limit, shuffle_seed, Path(sys.argv[4]))))
    )
