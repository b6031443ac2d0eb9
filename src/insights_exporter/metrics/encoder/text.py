"""Families as text: Prometheus 0.0.4 and OpenMetrics 1.0.

The bytes equal those of ``prometheus_client`` for the same families. What makes it fast: each label value
is escaped once, each row is one f-string, and blocks of rows are encoded one by one, so that little is held
twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, islice
from math import inf
from typing import Final

from insights_exporter.metrics.encoder.number_format import (
    BLOCK_ROWS,
    escape_label_value,
    format_float,
    format_floats,
)
from insights_exporter.metrics.encoder.user_series import UserSeries
from insights_exporter.metrics.encoder.user_series_encoder import UserSeriesEncoder
from insights_exporter.metrics.family import Family, MetricType

__all__ = [
    "EOF",
    "ExponentialBuckets",
    "FamilySamples",
    "FloatSample",
    "Format",
    "HistogramSample",
    "LabelPairCache",
    "PackedHistogramSample",
    "encode_blocks",
    "encode_families",
    "header",
    "same_in_both_formats",
]

EOF: Final = b"# EOF\n"
"""What closes a page of OpenMetrics."""


class Format(StrEnum):
    """An exposition format, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


FloatSample = tuple[tuple[str, ...], float]
"""A sample: label values in the order of the family's labels, and the number."""

HistogramSample = tuple[tuple[str, ...], tuple[float, ...], float]
"""Label values, cumulative counts per bound with infinity last, and the sum of what was observed."""

PackedHistogramSample = tuple[tuple[str, ...], tuple[int, float]]
"""Label values; counts per bucket side by side, none cumulative, and the sum of what was observed."""

ExponentialBuckets = tuple[tuple[str, ...], Mapping[int, int]]
"""Label values and counts by exponential bucket, none cumulative."""


@dataclass(frozen=True, slots=True)
class FamilySamples:
    """A family with what it holds; ``created`` is when its counters began, in Unix seconds.

    ``numbers`` belong to counters, gauges and infos; ``distributions`` over ``bounds`` to histograms, which
    are ``packed`` until a limit has chosen among them;
    ``fine`` has the same observations by exponential bucket, where they are counted. No text has room for it.
    """

    family: Family
    floats: Iterable[FloatSample] = ()
    histograms: Iterable[HistogramSample] = ()
    bounds: tuple[float, ...] = ()
    created: float | None = None
    exponential_buckets: Iterable[ExponentialBuckets] | None = None
    packed_histograms: Iterable[PackedHistogramSample] | None = None


def encode_families(families: Iterable[FamilySamples], exposition_format: Format) -> bytearray:
    """Return the page. Text of 0.0.4 leaves out ``created``, which it could only say with extra series."""
    body, label_pairs = bytearray(), LabelPairCache()
    for samples in families:
        body += header(samples.family, exposition_format)
        for block in encode_blocks(samples, exposition_format, label_pairs):
            body += block
    if exposition_format is Format.OPENMETRICS:
        body += EOF
    return body


def header(family: Family, exposition_format: Format) -> bytes:
    """Return the lines that introduce a family."""
    if exposition_format is Format.OPENMETRICS:
        name, unit = family.base_name, f"# UNIT {family.base_name} {family.unit}\n" if family.unit else ""
        return (
            f"# HELP {name} {escape_label_value(family.help)}\n# TYPE {name} {family.type}\n{unit}".encode()
        )
    metric_type = {MetricType.INFO: "gauge", MetricType.GAUGE_HISTOGRAM: "histogram"}.get(
        family.type, str(family.type)
    )
    return f"# HELP {family.name} {_escape_help(family)}\n# TYPE {family.name} {metric_type}\n".encode()


def same_in_both_formats(samples: FamilySamples) -> bool:
    """Tell whether the blocks of a family are the same in both formats."""
    return samples.created is None and samples.family.type is not MetricType.GAUGE_HISTOGRAM


def encode_blocks(
    samples: FamilySamples, exposition_format: Format, label_pairs: LabelPairCache
) -> Iterator[bytes]:
    """Yield a family's series, many in a block, encoded; all families of a page share its ``fragments``."""
    metric_type, openmetrics = samples.family.type, exposition_format is Format.OPENMETRICS
    created = samples.created if openmetrics else None
    if isinstance(samples.floats, UserSeries):
        user_encoder = UserSeriesEncoder(samples.family, samples.floats, created)
        yield from user_encoder.encode_blocks(samples.floats.groups)
        yield from encode_blocks(
            replace(samples, floats=samples.floats.other_samples), exposition_format, label_pairs
        )
    elif metric_type is MetricType.HISTOGRAM:
        yield from _encode_histograms(samples, label_pairs, "_count", "_sum", created)
    elif metric_type is MetricType.GAUGE_HISTOGRAM and openmetrics:
        yield from _encode_histograms(samples, label_pairs, "_gcount", "_gsum")
    elif metric_type is MetricType.GAUGE_HISTOGRAM:
        yield from _encode_text_gauge_histogram(samples, label_pairs)
    elif metric_type is MetricType.COUNTER and created is not None:
        created_affixes = f"{samples.family.base_name}_created", f" {format_float(created)}\n"
        yield from _encode_floats(
            samples.family.name, samples.family.labels, samples.floats, label_pairs, created_affixes
        )
    else:
        yield from _encode_floats(samples.family.name, samples.family.labels, samples.floats, label_pairs)


def _encode_floats(
    name: str,
    labels: tuple[str, ...],
    floats: Iterable[FloatSample],
    label_pairs: LabelPairCache,
    created_affixes: tuple[str, str] | None = None,
) -> Iterator[bytes]:
    """Yield rows, a block at a time; by far the most series pass here.

    ``created`` is what stands before and behind the labels of a second row, where one follows each.
    """
    columns = _sorted_columns(labels, label_pairs)
    format_rows = _ROW_FORMATTERS.get(len(columns), _format_any)
    rows = iter(floats)
    while block := list(islice(rows, BLOCK_ROWS)):
        text = (
            format_rows(name, columns, block)
            if columns
            else [f"{name} {format_float(number)}\n" for _, number in block]
        )
        if created_affixes:
            (prefix, suffix), name_length = created_affixes, len(name)
            text = [f"{line}{prefix}{line[name_length : line.rindex(' ')]}{suffix}" for line in text]
        yield "".join(text).encode()


class LabelPairCache(dict[str, "_LabelPairs"]):
    """Labels with their values as they stand between braces, each made once for a whole page."""

    def __missing__(self, label: str) -> _LabelPairs:
        self[label] = pairs = _LabelPairs(label)
        return pairs


class _LabelPairs(dict[str, str]):
    """One label with each of its values."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def __missing__(self, value: str) -> str:
        self[value] = text = f'{self._label}="{escape_label_value(value)}"'
        return text


_LabelColumns = Sequence[tuple[_LabelPairs, int]]
"""Labels in order, and where the value of each stands."""

_Block = Sequence[FloatSample]


def _sorted_columns(labels: tuple[str, ...], label_pairs: LabelPairCache) -> _LabelColumns:
    return [
        (label_pairs[labels[index]], index) for index in sorted(range(len(labels)), key=labels.__getitem__)
    ]


def _format_any(name: str, columns: _LabelColumns, block: _Block) -> list[str]:
    pair_columns = [[pairs[labels[index]] for labels, _ in block] for pairs, index in columns]
    return [
        f"{name}{{{','.join(series)}}} {text}\n"
        for *series, text in zip(*pair_columns, format_floats(value for _, value in block), strict=True)
    ]


# Most series have as many labels as one of these; written out, a row costs a quarter less.


def _format_three_labels(name: str, columns: _LabelColumns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k) = columns
    rows = zip(block, format_floats(n for _, n in block), strict=True)
    return [f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]}}} {text}\n" for (v, _), text in rows]


def _format_four_labels(name: str, columns: _LabelColumns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k), (d, m) = columns
    rows = zip(block, format_floats(n for _, n in block), strict=True)
    return [f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]},{d[v[m]]}}} {text}\n" for (v, _), text in rows]


def _format_five_labels(name: str, columns: _LabelColumns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k), (d, m), (e, o) = columns
    rows = zip(block, format_floats(n for _, n in block), strict=True)
    return [f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]},{d[v[m]]},{e[v[o]]}}} {text}\n" for (v, _), text in rows]


def _format_six_labels(name: str, columns: _LabelColumns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k), (d, m), (e, o), (f, p) = columns
    rows = zip(block, format_floats(n for _, n in block), strict=True)
    return [
        f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]},{d[v[m]]},{e[v[o]]},{f[v[p]]}}} {text}\n"
        for (v, _), text in rows
    ]


_ROW_FORMATTERS: Final = {
    3: _format_three_labels,
    4: _format_four_labels,
    5: _format_five_labels,
    6: _format_six_labels,
}


def _encode_histograms(
    samples: FamilySamples,
    label_pairs: LabelPairCache,
    count_suffix: str,
    sum_suffix: str,
    created: float | None = None,
) -> Iterator[bytes]:
    """Yield each label set with its buckets, with count and sum where those have names, and its beginning."""
    name = samples.family.name
    le_labels = [f'le="{format_float(bound)}"' for bound in (*samples.bounds, inf)]
    # Labels stand in the order of their names, that of a bucket's bound among them.
    le_index = sum(label < "le" for label in samples.family.labels)
    columns, rows = _sorted_columns(samples.family.labels, label_pairs), iter(samples.histograms)
    created_text = None if created is None else format_float(created)
    while block := list(islice(rows, max(1, BLOCK_ROWS // (len(le_labels) + 3)))):
        numbers = iter(format_floats(chain.from_iterable(counts for _, counts, _ in block)))
        sum_texts = format_floats(observation_sum for *_, observation_sum in block)
        lines: list[str] = []
        for (values, counts, _), observation_sum in zip(block, sum_texts, strict=True):
            pairs = [pairs_by_value[values[index]] for pairs_by_value, index in columns]
            prefix = f"{name}_bucket{{{''.join([f'{pair},' for pair in pairs[:le_index]])}"
            suffix = f"{''.join([f',{pair}' for pair in pairs[le_index:]])}}} "
            buckets = zip(le_labels, islice(numbers, len(counts)), strict=True)
            lines += [f"{prefix}{bound}{suffix}{number}\n" for bound, number in buckets]
            if count_suffix:
                label_set = f"{{{','.join(pairs)}}}" if pairs else ""
                lines.append(f"{name}{count_suffix}{label_set} {format_float(counts[-1])}\n")
                lines.append(f"{name}{sum_suffix}{label_set} {observation_sum}\n")
                if created_text is not None:
                    lines.append(f"{name}_created{label_set} {created_text}\n")
        yield "".join(lines).encode()


def _encode_text_gauge_histogram(samples: FamilySamples, label_pairs: LabelPairCache) -> Iterator[bytes]:
    """Yield what the old format can say: buckets pass for a histogram, count and sum for gauges."""
    family, rows = samples.family, list(samples.histograms)
    yield from _encode_histograms(
        FamilySamples(family, histograms=rows, bounds=samples.bounds), label_pairs, "", ""
    )
    for suffix, floats in (
        ("_gcount", [(values, counts[-1]) for values, counts, _ in rows]),
        ("_gsum", [(values, observation_sum) for values, _, observation_sum in rows]),
    ):
        if floats:
            name = family.name + suffix
            yield f"# HELP {name} {_escape_help(family)}\n# TYPE {name} gauge\n".encode()
            yield from _encode_floats(name, family.labels, floats, label_pairs)


def _escape_help(family: Family) -> str:
    return family.help.replace("\\", r"\\").replace("\n", r"\n")
