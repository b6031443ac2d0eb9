"""The demo serves every family that is documented, and nothing else."""

from __future__ import annotations

import signal

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.family import MetricType
from tests.support.exposition_parsing import parse_families, promtool_check
from tests.support.program import start_program
from tests.support.waiting import wait_until

DISABLED_FEATURES = frozenset({"otlp.enabled", "privacy.min_group_size"})
"""What the demo has no use for: it pushes nowhere, and shows usernames."""

PROCESS_PREFIX = "process_"
"""Every client of Prometheus serves these, under names that are not ours."""


async def test_every_family_is_served_and_nothing_undocumented() -> None:
    documented = {
        family.name for family in catalogue.FAMILIES if family.required_setting not in DISABLED_FEATURES
    }
    async with start_program(
        "demo", "--port", "0", "--templates", "6", "--users", "60", "--interval", "5"
    ) as demo:

        async def served() -> set[str]:
            page = await demo.fetch(demo.output.get("Metrics", ""))
            return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")}

        async def all_served() -> bool:
            return documented <= await served()

        await wait_until(all_served)
        page = (await demo.fetch(demo.output["Metrics"])).encode()
        await demo.stop(signal.SIGTERM)
    served_families = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in parse_families(page, Format.TEXT)
        if not family.name.startswith(PROCESS_PREFIX)
    }
    # Text has no histograms of gauges; their count and sum stand apart.
    gauge_histogram_suffixes = {
        family.name + suffix
        for family in catalogue.FAMILIES
        if family.type is MetricType.GAUGE_HISTOGRAM
        for suffix in ("_gcount", "_gsum")
    }

    assert documented <= served_families <= documented | gauge_histogram_suffixes
    assert promtool_check(page) == ""
