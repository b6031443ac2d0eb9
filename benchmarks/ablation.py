"""Cost of each optimization of the encoder: the same work with the plain way in its place.

docs/design/performance.md explains the optimizations and quotes the ratios.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Any, Final
from unittest.mock import patch

from benchmarks.result_table import ResultTable
from benchmarks.workload import LIMITS, USERNAME_POLICY, family_samples, workload_snapshot
from insights_exporter.config.settings import LimitSettings
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.derivation_cache import DerivationCache
from insights_exporter.metrics.encoder import EncodedBody, FamilySamples, LabelPairCache, encoder
from insights_exporter.metrics.encoder import samples as encoder_samples
from insights_exporter.metrics.encoder import text as encoder_text
from insights_exporter.metrics.encoder.number_format import escape_label_value, format_float
from insights_exporter.metrics.encoder.text import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.families import agent_stats, insights, rows
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.packed_counts import pack_counts, unpack_counts
from insights_exporter.snapshot import AgentStats, LatencyHistogram, Snapshot, Timestamped
from tests.support.exposition_text import encode_body
from tests.support.snapshots import rich_snapshot

__all__ = ["optimizations"]

_ROUNDS: Final = 5
_NOW: Final = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
_LIMITED: Final = LimitSettings(series_per_family=10_000)

_Patch = tuple[Any, str, Any]
"""Owner, attribute and the plain replacement."""


def optimizations() -> ResultTable:
    """Compare each optimization with the plain way, in turns."""
    held_samples, _ = family_samples(workload_snapshot(100_000))
    snapshot, agent_snapshot = rich_snapshot(templates=45, users=1_500), _agent_snapshot()
    workloads: Mapping[str, Callable[[], float]] = {
        "text": lambda: _cpu_seconds(lambda: encode_body(held_samples, Format.OPENMETRICS)),
        "first render": lambda: _render_seconds([snapshot]),
        "unchanged render": lambda: _render_seconds([snapshot, snapshot]),
        "limited render": lambda: _render_seconds([snapshot], _LIMITED),
        "limited histograms": lambda: _render_seconds([agent_snapshot], LimitSettings()),
    }
    results = []
    for name, workload, patches in _optimizations():
        measure = workloads[workload]
        optimized, plain = [], []
        for _ in range(_ROUNDS):
            optimized.append(measure())
            with ExitStack() as stack:
                for owner, attribute, replacement in patches:
                    stack.enter_context(patch.object(owner, attribute, replacement))
                plain.append(measure())
        seconds, plain_seconds = statistics.median(optimized), statistics.median(plain)
        results.append(
            (
                name,
                workload,
                f"{seconds * 1e3:.0f} ms",
                f"{plain_seconds * 1e3:.0f} ms",
                f"{plain_seconds / seconds:.2f}",
            )
        )
    return ResultTable(
        "Optimizations of the encoder, each switched off",
        ("optimization", "workload", "CPU time with it", "CPU time without it", "ratio"),
        results,
        "Text of 100,000 series, renders of 560,000, histograms of 10,000 users. The design page\n"
        "design/performance.md explains each of them.",
    )


def _cpu_seconds(function: Callable[[], object]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def _render_seconds(snapshots: Sequence[Snapshot], limits: LimitSettings = LIMITS) -> float:
    """Return the CPU seconds of the last render."""
    exposition = Exposition(username_policy=USERNAME_POLICY, limits=limits, after_block=lambda: None)
    for snapshot in snapshots[:-1]:
        asyncio.run(exposition.publish(snapshot))
    return _cpu_seconds(lambda: asyncio.run(exposition.publish(snapshots[-1])))


def _agent_snapshot() -> Snapshot:
    rng, bucket_count = Random(1), len(LATENCY_BUCKETS) + 1
    latency = {
        ("acme", f"template-{template}"): {
            f"user-{template}-{user}": LatencyHistogram(
                pack_counts([rng.randrange(50) for _ in range(bucket_count)]), bucket_count, 1.5, _NOW
            )
            for user in range(250)
        }
        for template in range(40)
    }
    return Snapshot(_NOW, agent_stats=Timestamped(AgentStats(_NOW, latency=latency), _NOW))


def _optimizations() -> list[tuple[str, str, list[_Patch]]]:
    """Return name, workload and patches of each optimization."""
    return [
        (
            "floats as JSON",
            "text",
            [(encoder_text, "format_floats", _plain_floats)],
        ),
        (
            "floats as JSON",
            "first render",
            [
                (encoder_text, "format_floats", _plain_floats),
                (encoder_text, "json_floats", _plain_floats),
            ],
        ),
        ("label text cached", "text", [(LabelPairCache, "__missing__", _uncached_pairs)]),
        (
            "users in groups",
            "first render",
            [(insights, "user_series", _plain_user_series), (agent_stats, "user_series", _plain_user_series)],
        ),
        ("range of a group", "first render", [(encoder_samples, "min_max", lambda _: None)]),
        ("isal", "first render", [(encoder, "compress", _zlib_compress)]),
        (
            "unchanged blocks reused",
            "unchanged render",
            [(DerivationCache, "get_or_compute_many", lambda _self, _key, _sources, compute: compute())],
        ),
        (
            "selection by group",
            "limited render",
            [(FamilySamples, "grouped_count", property(lambda _: None))],
        ),
        (
            "packed bucket counts",
            "limited histograms",
            [
                (rows, "to_histogram", _TupleHistogram.from_snapshot),
                (FamilySamples, "merge", property(lambda _: _TupleHistogram.merge)),
            ],
        ),
    ]


def _plain_floats(numbers: Iterable[float]) -> list[str]:
    return [format_float(number) for number in numbers]


def _uncached_pairs(_cache: LabelPairCache, label: str) -> Any:
    class Pairs(dict[str, str]):
        def __getitem__(self, value: str) -> str:
            return f'{label}="{escape_label_value(value)}"'

    return Pairs()


def _plain_user_series(
    family: Family, groups: Iterable[rows.UserValues], values: LabelValues, **options: Any
) -> FamilySamples:
    samples = rows.user_series(family, groups, values, **options)
    return FamilySamples(family, list(samples), created=samples.created)


def _zlib_compress(blocks: Iterable[bytes], *, after_block: Callable[[], None] | None = None) -> EncodedBody:
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
    chunks, size, checksum = [], 0, 0
    for block in blocks:
        chunks.append(compressor.compress(block))
        size, checksum = size + len(block), zlib.crc32(block, checksum)
        if after_block is not None:
            after_block()
    chunks.append(compressor.flush(zlib.Z_SYNC_FLUSH))
    return EncodedBody((b"".join(chunks),), size, checksum)


@dataclass(frozen=True, slots=True)
class _TupleHistogram:
    """A histogram with a tuple of counts instead of a packed integer."""

    counts: tuple[int, ...]
    sum: float

    @classmethod
    def from_snapshot(cls, histogram: LatencyHistogram) -> _TupleHistogram:
        return cls(unpack_counts(histogram.packed_counts, histogram.bucket_count), histogram.sum)

    @property
    def cumulative_counts(self) -> tuple[int, ...]:
        return tuple(accumulate(self.counts))

    @property
    def count(self) -> int:
        return sum(self.counts)

    @staticmethod
    def merge(histograms: Collection[_TupleHistogram]) -> _TupleHistogram:
        counts = zip(*(histogram.counts for histogram in histograms), strict=True)
        return _TupleHistogram(tuple(map(sum, counts)), sum(histogram.sum for histogram in histograms))
