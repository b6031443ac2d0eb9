"""How long a page takes, and what it takes in memory."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from operator import truediv
from statistics import median
from typing import Final

from benchmarks.table import Table, medians
from benchmarks.workload import LIMITS, REDACTION, catalogued, deployment
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.text import Format, Fragments, Samples, blocks, head, render
from insights_exporter.snapshot import Snapshot
from tests.support.reference import reference, reference_page
from tests.support.snapshots import rich_snapshot

__all__ = ["memory", "render_page", "sizes", "whole_poll"]

_TEMPLATES: Final = (10, 103, 517)
_PEOPLE: Final = 70
_ROUNDS: Final = 21


def render_page() -> Table:
    """Compare the same work: families that are ready, written as text."""
    held, series = catalogued(deployment(100_000))
    rows = []
    for form, bar in ((Format.OPENMETRICS, 10), (Format.TEXT, 8)):
        theirs = reference(held, form)
        if bytes(render(held, form)) != reference_page(theirs, form):
            raise AssertionError("The contenders write different pages.")
        ours, other = medians(partial(render, held, form), partial(reference_page, theirs, form))
        rows.append(
            (
                form.name.lower(),
                f"{ours * 1e3:.0f} ms",
                f"{other * 1e3:.0f} ms",
                f"{other / ours:.1f}",
                f"{bar}",
            )
        )
    return Table(
        f"Rendering {series:,} series",
        ("format", "this exporter", "prometheus_client", "times faster", "bar"),
        rows,
        "The same families, held ready by both, to the same bytes.",
    )


def sizes() -> Table:
    """Show that a series costs the same however many there are."""
    works: list[Callable[[], object]] = []
    counts, written = [], []
    for templates in _TEMPLATES:
        held, series = catalogued(rich_snapshot(templates=templates, users=_PEOPLE))
        # A short reading is done again, or the machine's moods would weigh most on it.
        times = max(1, _TEMPLATES[1] // templates)
        counts.append(series)
        written.append(series * times)
        works.append(partial(_write, held, times))
    each: list[list[float]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        # Moods last for seconds: what is read in one round is compared with what is read beside it.
        for of_size, seconds, count in zip(each, medians(*works, rounds=1), written, strict=True):
            of_size.append(seconds / count)
    rows = [
        (
            f"{count:,}",
            f"{median(of_size) * 1e9:.0f} ns",
            f"{median(map(truediv, of_size, each[1])):.2f}",
        )
        for count, of_size in zip(counts, each, strict=True)
    ]
    return Table(
        "Cost of a series by size of the page (OpenMetrics)",
        ("series", "per series", "to the middle one"),
        rows,
        f"Deployments of {_PEOPLE} people with {', '.join(map(str, _TEMPLATES))} templates, so that the\n"
        "families have much the same share of each page. Written block by block, each let go before the\n"
        f"next: the exporter never holds a plain page. The ratio is the median of {_ROUNDS} rounds, each of\n"
        "which reads all three. The bar is 25 % either way.",
    )


def _write(families: Sequence[Samples], times: int) -> None:
    for page in repeat(families, times):
        fragments = Fragments()
        for samples in page:
            head(samples.family, Format.OPENMETRICS)
            for _ in blocks(samples, Format.OPENMETRICS, fragments):
                pass


def whole_poll() -> Table:
    """Compare what happens after a poll: a snapshot becomes pages that can be sent compressed."""
    snapshot = deployment(100_000)
    _, series = catalogued(snapshot)

    def plain() -> list[bytes]:
        held, _ = catalogued(snapshot)
        return [zlib.compress(reference_page(reference(held, form), form)) for form in Format]

    took, other = medians(partial(_publish, snapshot), plain, rounds=3)
    return Table(
        f"From a snapshot to both compressed pages, {series:,} series",
        ("this exporter", "prometheus_client and zlib", "times faster"),
        [(f"{took * 1e3:.0f} ms", f"{other * 1e3:.0f} ms", f"{other / took:.1f}")],
    )


def memory() -> Table:
    """Compare the peak beyond the snapshot while a page is made."""
    snapshot = deployment(100_000)
    held, series = catalogued(snapshot)
    theirs = reference(held, Format.OPENMETRICS)
    rows = [
        (name, f"{_peak(work) / series:.0f} B")
        for name, work in (
            ("a page of this exporter, families held", lambda: render(held, Format.OPENMETRICS)),
            ("both pages compressed, straight from the snapshot", partial(_publish, snapshot)),
            (
                "a page of prometheus_client, families held",
                lambda: reference_page(theirs, Format.OPENMETRICS),
            ),
        )
    ]
    return Table(
        f"Peak memory beyond what is held before, {series:,} series",
        ("made", "per series"),
        rows,
        "The bar is 200 B.",
    )


def _publish(snapshot: Snapshot) -> Exposition:
    # A new one each time, as what did not change would not be written again.
    exposition = Exposition(redaction=REDACTION, limits=LIMITS, pause=lambda: None)
    asyncio.run(exposition.publish(snapshot))
    return exposition


def _peak(work: Callable[[], object]) -> int:
    work()
    tracemalloc.start()
    try:
        kept = work()
        peak = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return peak
