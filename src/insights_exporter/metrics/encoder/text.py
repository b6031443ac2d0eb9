"""Text of a family in the Prometheus text format 0.0.4 and in OpenMetrics 1.0.

The bytes equal those of ``prometheus_client`` for the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice
from math import inf
from typing import Final

from insights_exporter.metrics.encoder.label_pairs import BLOCK_ROWS, LabelPairCache
from insights_exporter.metrics.encoder.number_format import (
    escape_help,
    escape_label_value,
    format_float,
    format_floats,
)
from insights_exporter.metrics.encoder.samples import FamilySamples, FloatSample, HistogramSample
from insights_exporter.metrics.encoder.user_series import encode_groups
from insights_exporter.metrics.family import Family, MetricType

__all__ = [
    "EOF",
    "Format",
    "encode_header",
    "encode_rows",
    "encode_samples",
]

EOF: Final = b"# EOF\n"
"""The last line of an OpenMetrics exposition."""


class Format(StrEnum):
    """An exposition format, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def encode_header(family: Family, exposition_format: Format) -> bytes:
    """Return the HELP, TYPE and UNIT lines of a family."""
    if exposition_format is Format.OPENMETRICS:
        name, unit = family.base_name, f"# UNIT {family.base_name} {family.unit}\n" if family.unit else ""
        return (
            f"# HELP {name} {escape_label_value(family.help)}\n# TYPE {name} {family.type}\n{unit}".encode()
        )
    metric_type = {MetricType.INFO: "gauge", MetricType.GAUGE_HISTOGRAM: "histogram"}.get(
        family.type, str(family.type)
    )
    return f"# HELP {family.name} {escape_help(family.help)}\n# TYPE {family.name} {metric_type}\n".encode()


def encode_samples(
    samples: FamilySamples, exposition_format: Format, label_pairs: LabelPairCache
) -> Iterator[bytes]:
    """Yield the series of a family in blocks: groups, then rows."""
    yield from encode_groups(samples, samples.groups, label_pairs, _created(samples, exposition_format))
    yield from encode_rows(samples, exposition_format, label_pairs)


def encode_rows(
    samples: FamilySamples, exposition_format: Format, label_pairs: LabelPairCache
) -> Iterator[bytes]:
    """Yield the series of a family's rows in blocks, without its groups.

    The text format has no ``_created``: it would have to be a family of its own.
    """
    family, rows = samples.family, samples.rows
    created = _created(samples, exposition_format)
    if not samples.bounds:
        yield from _encode_floats(family, family.name, rows, label_pairs, created)
    elif family.type is MetricType.HISTOGRAM:
        yield from _encode_histograms(samples, label_pairs, "_count", "_sum", created)
    elif exposition_format is Format.OPENMETRICS:
        yield from _encode_histograms(samples, label_pairs, "_gcount", "_gsum")
    else:
        yield from _encode_text_gauge_histogram(samples, label_pairs)


def _created(samples: FamilySamples, exposition_format: Format) -> float | None:
    return samples.created if exposition_format is Format.OPENMETRICS else None


def _encode_floats(
    family: Family,
    name: str,
    rows: Iterable[FloatSample],
    label_pairs: LabelPairCache,
    created: float | None = None,
) -> Iterator[bytes]:
    columns = _sorted_columns(family, label_pairs)
    rows = iter(rows)
    while block := list(islice(rows, BLOCK_ROWS)):
        numbers = format_floats(number for _, number in block)
        if not columns:
            yield "".join([f"{name} {number}\n" for number in numbers]).encode()
            continue
        values_by_label = list(zip(*[values for values, _ in block], strict=True))
        pairs = [map(pairs.__getitem__, values_by_label[index]) for pairs, index in columns]
        label_sets = map(",".join, zip(*pairs, strict=True))
        prefix = f"{name}{{"
        if created is None:
            lines = [f"{labels}}} {number}\n" for labels, number in zip(label_sets, numbers, strict=True)]
        else:
            created_prefix = f"{family.base_name}_created{{"
            created_suffix = f"}} {format_float(created)}\n"
            lines = [
                f"{labels}}} {number}\n{created_prefix}{labels}{created_suffix}"
                for labels, number in zip(label_sets, numbers, strict=True)
            ]
        yield (prefix + prefix.join(lines)).encode()


def _encode_histograms(
    samples: FamilySamples,
    label_pairs: LabelPairCache,
    count_suffix: str,
    sum_suffix: str,
    created: float | None = None,
) -> Iterator[bytes]:
    """Yield buckets, count, sum and creation time of each label set; an empty suffix leaves out both."""
    family = samples.family
    le_labels = [f'le="{format_float(bound)}"' for bound in (*samples.bounds, inf)]
    # Labels are sorted by name, "le" among them.
    le_index = sum(label < "le" for label in family.labels)
    columns, rows = _sorted_columns(family, label_pairs), iter(samples.rows)
    created_text = None if created is None else format_float(created)
    while block := list(islice(rows, max(1, BLOCK_ROWS // samples.series_per_row))):
        numbers = iter(format_floats(chain.from_iterable(value.cumulative_counts for _, value in block)))
        sum_texts = format_floats(value.sum for _, value in block)
        lines: list[str] = []
        for (values, _), sum_text in zip(block, sum_texts, strict=True):
            pairs = [pairs_by_value[values[index]] for pairs_by_value, index in columns]
            prefix = f"{family.name}_bucket{{{''.join([f'{pair},' for pair in pairs[:le_index]])}"
            suffix = f"{''.join([f',{pair}' for pair in pairs[le_index:]])}}} "
            counts = list(islice(numbers, len(le_labels)))
            lines += [
                f"{prefix}{bound}{suffix}{count}\n" for bound, count in zip(le_labels, counts, strict=True)
            ]
            if count_suffix:
                label_set = f"{{{','.join(pairs)}}}" if pairs else ""
                lines.append(f"{family.name}{count_suffix}{label_set} {counts[-1]}\n")
                lines.append(f"{family.name}{sum_suffix}{label_set} {sum_text}\n")
                if created_text is not None:
                    lines.append(f"{family.name}_created{label_set} {created_text}\n")
        yield "".join(lines).encode()


def _encode_text_gauge_histogram(samples: FamilySamples, label_pairs: LabelPairCache) -> Iterator[bytes]:
    """Yield a gauge histogram, which 0.0.4 lacks: buckets as a histogram, count and sum as two gauges."""
    family = samples.family
    rows: list[HistogramSample] = list(samples.rows)
    yield from _encode_histograms(FamilySamples(family, rows, samples.bounds), label_pairs, "", "")
    for suffix, floats in (
        ("_gcount", [(labels, value.count) for labels, value in rows]),
        ("_gsum", [(labels, value.sum) for labels, value in rows]),
    ):
        if floats:
            name = family.name + suffix
            yield f"# HELP {name} {escape_help(family.help)}\n# TYPE {name} gauge\n".encode()
            yield from _encode_floats(family, name, floats, label_pairs)


def _sorted_columns(family: Family, label_pairs: LabelPairCache) -> Sequence[tuple[Mapping[str, str], int]]:
    """Return the label pairs and the position of each label, sorted by label name."""
    labels = family.labels
    return [
        (label_pairs[labels[index]], index) for index in sorted(range(len(labels)), key=labels.__getitem__)
    ]
