"""How long a page takes, and what it takes in memory."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Final

from benchmarks.table import Table, medians
from benchmarks.workload import LIMITS, REDACTION, catalogued, deployment
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.text import Format, Samples, blocks, head, render
from insights_exporter.snapshot import Snapshot
from tests.support.reference import reference, reference_page

__all__ = ["memory", "render_page", "sizes", "whole_poll"]

_SIZES: Final = (10_000, 100_000, 500_000)


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
    for size in _SIZES:
        held, series = catalogued(deployment(size))
        # Each reading writes about as many series, or the machine's moods would weigh most on the shortest.
        times = _SIZES[-1] // size
        counts.append(series)
        written.append(series * times)
        works.append(partial(_write, held, times))
    each = [seconds / count for seconds, count in zip(medians(*works, rounds=9), written, strict=True)]
    rows = [
        (f"{count:,}", f"{seconds * 1e9:.0f} ns", f"{seconds / each[1]:.2f}")
        for count, seconds in zip(counts, each, strict=True)
    ]
    return Table(
        "Cost of a series by size of the page (OpenMetrics)",
        ("series", "per series", "to the middle one"),
        rows,
        "Written block by block, each let go before the next: the exporter never holds a plain page.\n"
        "The bar is 25 % either way.",
    )


def _write(families: Sequence[Samples], times: int) -> None:
    for samples in chain.from_iterable(repeat(families, times)):
        head(samples.family, Format.OPENMETRICS)
        for _ in blocks(samples, Format.OPENMETRICS):
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
