"""Text of a family in the Prometheus text format 0.0.4 and in OpenMetrics 1.0.

The bytes equal those of ``prometheus_client`` for the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice
from math import inf
from typing import Final, cast

from insights_exporter.metrics.encoder.number_format import (
    escape_help,
    escape_label_value,
    format_float,
    format_floats,
    json_compatible,
    json_floats,
)
from insights_exporter.metrics.encoder.samples import FamilySamples, FloatSample, HistogramSample, SeriesGroup
from insights_exporter.metrics.family import Family, MetricType

__all__ = [
    "BLOCK_ROWS",
    "EOF",
    "Format",
    "LabelPairCache",
    "encode_groups",
    "encode_header",
    "encode_rows",
    "encode_samples",
]

BLOCK_ROWS: Final = 500
"""Rows per block of text; a block bounds memory, and the GIL is released after each."""


class LabelPairCache(dict[str, "_LabelPairs"]):
    """The text ``label="value"`` by label and value, escaped once for all families of an exposition."""

    def __missing__(self, label: str) -> _LabelPairs:
        self[label] = pairs = _LabelPairs(label)
        return pairs


class _LabelPairs(dict[str, str]):
    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def __missing__(self, value: str) -> str:
        self[value] = text = f'{self._label}="{escape_label_value(value)}"'
        return text


_USER_LABEL = "username"


def encode_groups(
    samples: FamilySamples,
    groups: Iterable[SeriesGroup],
    label_pairs: LabelPairCache,
    created: float | None,
) -> Iterator[bytes]:
    """Yield the series of groups in blocks; ``created`` adds a ``_created`` series to each."""
    username_labels = cast("Mapping[str, str]", samples.username_labels)
    user_pairs = label_pairs[_USER_LABEL]
    encoded: list[str] = []
    row_count = 0
    for group in groups:
        affixes = _shared_labels(samples.family, group, label_pairs)
        as_json = group.min_max is not None and json_compatible(*group.min_max)
        for users in _chunks(group.values):
            values = list(users.values())
            numbers = json_floats(values) if as_json else format_floats(values)
            pairs = map(user_pairs.__getitem__, map(username_labels.__getitem__, users))
            encoded.append(_encode_rows(samples.family, affixes, zip(pairs, numbers, strict=True), created))
            row_count += len(users)
            if row_count >= BLOCK_ROWS:
                yield "".join(encoded).encode()
                encoded, row_count = [], 0
    if encoded:
        yield "".join(encoded).encode()


def _shared_labels(family: Family, group: SeriesGroup, label_pairs: LabelPairCache) -> tuple[str, str]:
    """Return the text before and after the username label, braces included; labels are sorted by name."""
    pairs = sorted(
        (label, label_pairs[label][value])
        for label, value in zip(family.labels, group.labels, strict=True)
        if label != _USER_LABEL
    )
    before = "".join([f"{pair}," for label, pair in pairs if label < _USER_LABEL])
    after = "".join([f",{pair}" for label, pair in pairs if label > _USER_LABEL])
    return "{" + before, after + "}"


def _encode_rows(
    family: Family, affixes: tuple[str, str], rows: Iterable[tuple[str, str]], created: float | None
) -> str:
    """Return the series of username labels and formatted values."""
    before, after = affixes
    prefix = family.name + before
    if created is None:
        lines = [f"{pair}{after} {number}\n" for pair, number in rows]
    else:
        created_prefix = f"{family.base_name}_created{before}"
        created_suffix = f"{after} {format_float(created)}\n"
        lines = [f"{pair}{after} {number}\n{created_prefix}{pair}{created_suffix}" for pair, number in rows]
    # Joining with the prefix is faster than formatting it into each line.
    return prefix + prefix.join(lines)


def _chunks(values: Mapping[str, float]) -> Iterator[Mapping[str, float]]:
    """Yield values in mappings of at most a block."""
    if 0 < len(values) <= BLOCK_ROWS:
        yield values
        return
    remaining = iter(values.items())
    while block := dict(islice(remaining, BLOCK_ROWS)):
        yield block


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
