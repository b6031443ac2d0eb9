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

from benchmarks.result_table import ResultTable, median_cpu_seconds
from benchmarks.workload import LIMITS, USERNAME_POLICY, family_samples, workload_snapshot
from insights_exporter.metrics.encoder.text import (
    FamilySamples,
    Format,
    LabelPairCache,
    encode_blocks,
    encode_families,
    header,
)
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.snapshot import Snapshot
from tests.support.prometheus_client_reference import reference_collector, reference_exposition
from tests.support.snapshots import rich_snapshot

__all__ = ["cost_by_size", "peak_memory", "render_body", "snapshot_to_bodies"]

_TEMPLATE_COUNTS: Final = (10, 103, 517)
_USER_COUNT: Final = 70
_ROUNDS: Final = 21


def render_body() -> ResultTable:
    """Compare the same work: families that are ready, written as text."""
    samples, series = family_samples(workload_snapshot(100_000))
    rows = []
    for exposition_format, threshold in ((Format.OPENMETRICS, 10), (Format.TEXT, 8)):
        client_families = reference_collector(samples, exposition_format)
        if bytes(encode_families(samples, exposition_format)) != reference_exposition(
            client_families, exposition_format
        ):
            raise AssertionError("The contenders write different pages.")
        exporter_seconds, client_seconds = median_cpu_seconds(
            partial(encode_families, samples, exposition_format),
            partial(reference_exposition, client_families, exposition_format),
        )
        rows.append(
            (
                exposition_format.name.lower(),
                f"{exporter_seconds * 1e3:.0f} ms",
                f"{client_seconds * 1e3:.0f} ms",
                f"{client_seconds / exporter_seconds:.1f}",
                f"{threshold}",
            )
        )
    return ResultTable(
        f"Rendering {series:,} series",
        ("format", "this exporter", "prometheus_client", "times faster", "bar"),
        rows,
        "The same families, held ready by both, to the same bytes.",
    )


def cost_by_size() -> ResultTable:
    """Show that a series costs the same however many there are."""
    workloads: list[Callable[[], object]] = []
    counts, series_written = [], []
    for templates in _TEMPLATE_COUNTS:
        samples, series = family_samples(rich_snapshot(templates=templates, users=_USER_COUNT))
        # A short reading is done again, or the machine's moods would weigh most on it.
        repeats = max(1, _TEMPLATE_COUNTS[1] // templates)
        counts.append(series)
        series_written.append(series * repeats)
        workloads.append(partial(_encode_blocks, samples, repeats))
    times_by_size: list[list[float]] = [[] for _ in workloads]
    for _ in range(_ROUNDS):
        # Moods last for seconds: what is read in one round is compared with what is read beside it.
        for size_times, seconds, count in zip(
            times_by_size, median_cpu_seconds(*workloads, rounds=1), series_written, strict=True
        ):
            size_times.append(seconds / count)
    rows = [
        (
            f"{count:,}",
            f"{median(size_times) * 1e9:.0f} ns",
            f"{median(map(truediv, size_times, times_by_size[1])):.2f}",
        )
        for count, size_times in zip(counts, times_by_size, strict=True)
    ]
    return ResultTable(
        "Cost of a series by size of the page (OpenMetrics)",
        ("series", "per series", "to the middle one"),
        rows,
        f"Deployments of {_USER_COUNT} people with {', '.join(map(str, _TEMPLATE_COUNTS))} templates, so that the\n"
        "families have much the same share of each page. Written block by block, each let go before the\n"
        f"next: the exporter never holds a plain page. The ratio is the median of {_ROUNDS} rounds, each of\n"
        "which reads all three. The bar is 25 % either way.",
    )


def _encode_blocks(families: Sequence[FamilySamples], times: int) -> None:
    for family_list in repeat(families, times):
        fragments = LabelPairCache()
        for samples in family_list:
            header(samples.family, Format.OPENMETRICS)
            for _ in encode_blocks(samples, Format.OPENMETRICS, fragments):
                pass


def snapshot_to_bodies() -> ResultTable:
    """Compare what happens after a poll: a snapshot becomes pages that can be sent compressed."""
    snapshot = workload_snapshot(100_000)
    _, series = family_samples(snapshot)

    def baseline() -> list[bytes]:
        samples, _ = family_samples(snapshot)
        return [
            zlib.compress(
                reference_exposition(reference_collector(samples, exposition_format), exposition_format)
            )
            for exposition_format in Format
        ]

    exporter_seconds, client_seconds = median_cpu_seconds(partial(_publish, snapshot), baseline, rounds=3)
    return ResultTable(
        f"From a snapshot to both compressed pages, {series:,} series",
        ("this exporter", "prometheus_client and zlib", "times faster"),
        [
            (
                f"{exporter_seconds * 1e3:.0f} ms",
                f"{client_seconds * 1e3:.0f} ms",
                f"{client_seconds / exporter_seconds:.1f}",
            )
        ],
    )


def peak_memory() -> ResultTable:
    """Compare the peak beyond the snapshot while a page is made."""
    snapshot = workload_snapshot(100_000)
    samples, series = family_samples(snapshot)
    client_families = reference_collector(samples, Format.OPENMETRICS)
    rows = [
        (name, f"{_peak(workload) / series:.0f} B")
        for name, workload in (
            ("a page of this exporter, families held", lambda: encode_families(samples, Format.OPENMETRICS)),
            ("both pages compressed, straight from the snapshot", partial(_publish, snapshot)),
            (
                "a page of prometheus_client, families held",
                lambda: reference_exposition(client_families, Format.OPENMETRICS),
            ),
        )
    ]
    return ResultTable(
        f"Peak memory beyond what is held before, {series:,} series",
        ("made", "per series"),
        rows,
        "The bar is 200 B.",
    )


def _publish(snapshot: Snapshot) -> Exposition:
    # A new one each time, as what did not change would not be written again.
    exposition = Exposition(username_policy=USERNAME_POLICY, limits=LIMITS, after_block=lambda: None)
    asyncio.run(exposition.publish(snapshot))
    return exposition


def _peak(function: Callable[[], object]) -> int:
    function()
    tracemalloc.start()
    try:
        result = function()
        peak = tracemalloc.get_traced_memory()[1]
        del result
    finally:
        tracemalloc.stop()
    return peak
