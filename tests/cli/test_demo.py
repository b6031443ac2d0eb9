"""The demo serves every family that is documented, and nothing else."""

from __future__ import annotations

import signal

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Kind
from insights_exporter.metrics.text import Format
from tests.cli.test_processes import started
from tests.support.expositions import checked_by_promtool, parsed

OFF = frozenset({"otlp.enabled"})
"""What the demo has no use for: it pushes nowhere."""

PROCESS = "process_"
"""Every client of Prometheus serves these, under names that are not ours."""


async def test_every_family_is_served_and_nothing_undocumented() -> None:
    wanted = {family.name for family in catalogue.FAMILIES if family.needs not in OFF}
    async with started("demo", "--port", "0", "--templates", "6", "--users", "60", "--interval", "5") as demo:

        async def served() -> set[str]:
            page = await demo.text(demo.printed.get("Metrics", ""))
            return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")}

        async def all_served() -> bool:
            return wanted <= await served()

        await demo.until(all_served)
        page = (await demo.text(demo.printed["Metrics"])).encode()
        await demo.ended(signal.SIGTERM)
    found = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in parsed(page, Format.TEXT)
        if not family.name.startswith(PROCESS)
    }
    # Text has no histograms of gauges; their count and sum stand apart.
    apart = {
        family.name + suffix
        for family in catalogue.FAMILIES
        if family.kind is Kind.GAUGE_HISTOGRAM
        for suffix in ("_gcount", "_gsum")
    }

    assert wanted <= found <= wanted | apart
    assert checked_by_promtool(page) == ""
