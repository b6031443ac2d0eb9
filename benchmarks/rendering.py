"""CPU time and memory of rendering."""

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
from insights_exporter.metrics.encoder import (
    FamilySamples,
    Format,
    LabelPairCache,
    encode,
)
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.snapshot import Snapshot
from tests.support.exposition_text import encode_body
from tests.support.prometheus_client_reference import reference_collector, reference_exposition
from tests.support.snapshots import rich_snapshot

__all__ = ["cost_by_size", "peak_memory", "render_body", "snapshot_to_bodies"]

_TEMPLATE_COUNTS: Final = (10, 103, 517)
_USER_COUNT: Final = 70
_ROUNDS: Final = 21


def render_body() -> ResultTable:
    """Compare the encoding of prepared families."""
    samples, series = family_samples(workload_snapshot(100_000))
    rows = []
    for exposition_format, threshold in ((Format.OPENMETRICS, 10), (Format.TEXT, 8)):
        client_families = reference_collector(samples, exposition_format)
        if encode_body(samples, exposition_format) != reference_exposition(
            client_families, exposition_format
        ):
            raise AssertionError("The implementations return different expositions.")
        exporter_seconds, client_seconds = median_cpu_seconds(
            partial(encode_body, samples, exposition_format),
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
        ("format", "this exporter", "prometheus_client", "ratio", "bar"),
        rows,
        "Both encode the same prepared families to the same bytes.",
    )


def cost_by_size() -> ResultTable:
    """Measure the cost of a series by the size of the exposition."""
    workloads: list[Callable[[], object]] = []
    counts, series_written = [], []
    for templates in _TEMPLATE_COUNTS:
        samples, series = family_samples(rich_snapshot(templates=templates, users=_USER_COUNT))
        # Short measurements are repeated, since noise affects them most.
        repeats = max(1, _TEMPLATE_COUNTS[1] // templates)
        counts.append(series)
        series_written.append(series * repeats)
        workloads.append(partial(_encode_each, samples, repeats))
    times_by_size: list[list[float]] = [[] for _ in workloads]
    for _ in range(_ROUNDS):
        # Noise lasts for seconds, so measurements of the same round are compared.
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
        "Cost of a series by size of the exposition (OpenMetrics)",
        ("series", "per series", "ratio to the middle size"),
        rows,
        f"Deployments of {_USER_COUNT} users with {', '.join(map(str, _TEMPLATE_COUNTS))} templates: each\n"
        "family has a similar share of each exposition. Families are encoded one by one, and each is freed\n"
        f"before the next. The ratio is the median of {_ROUNDS} rounds; each measures all three sizes.\n"
        "The bar is 25 % in both directions.",
    )


def _encode_each(families: Sequence[FamilySamples], times: int) -> None:
    for family_list in repeat(families, times):
        label_pairs = LabelPairCache()
        for samples in family_list:
            for _ in encode(samples, Format.OPENMETRICS, label_pairs):
                pass


def snapshot_to_bodies() -> ResultTable:
    """Compare the steps after a poll: from a snapshot to compressed expositions."""
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
        f"From a snapshot to both compressed expositions, {series:,} series",
        ("this exporter", "prometheus_client and zlib", "ratio"),
        [
            (
                f"{exporter_seconds * 1e3:.0f} ms",
                f"{client_seconds * 1e3:.0f} ms",
                f"{client_seconds / exporter_seconds:.1f}",
            )
        ],
    )


def peak_memory() -> ResultTable:
    """Compare the peak memory of rendering beyond the snapshot."""
    snapshot = workload_snapshot(100_000)
    samples, series = family_samples(snapshot)
    client_families = reference_collector(samples, Format.OPENMETRICS)
    rows = [
        (name, f"{_peak(workload) / series:.0f} B")
        for name, workload in (
            (
                "one format by this exporter, families in memory",
                lambda: encode_body(samples, Format.OPENMETRICS),
            ),
            ("both compressed formats, from the snapshot", partial(_publish, snapshot)),
            (
                "one format by prometheus_client, families in memory",
                lambda: reference_exposition(client_families, Format.OPENMETRICS),
            ),
        )
    ]
    return ResultTable(
        f"Peak memory of rendering, {series:,} series",
        ("output", "per series"),
        rows,
        "The bar is 200 B.",
    )


def _publish(snapshot: Snapshot) -> Exposition:
    # A new exposition each time, since it would reuse unchanged families.
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
