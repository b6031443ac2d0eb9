"""Families as text: Prometheus 0.0.4 and OpenMetrics 1.0.

The bytes equal those of ``prometheus_client`` for the same families. What makes it fast: each label value
is escaped once, columns of a block of rows become text in C, and blocks are encoded one by one, so that
little is held twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice, repeat
from math import inf
from typing import Final

from insights_exporter.metrics.family import Family, Kind

__all__ = ["END", "Distribution", "Format", "Number", "Samples", "blocks", "head", "is_common", "render"]

END: Final = b"# EOF\n"
"""What closes a page of OpenMetrics."""

_BLOCK_ROWS = 1000


class Format(StrEnum):
    """An exposition format, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


Number = tuple[tuple[str, ...], float]
"""A sample: label values in the order of the family's labels, and the number."""

Distribution = tuple[tuple[str, ...], tuple[float, ...], float]
"""Label values, cumulative counts per bound with infinity last, and the sum of what was observed."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A family with what it holds; ``created`` is when its counters began, in Unix seconds.

    ``numbers`` belong to counters, gauges and infos; ``distributions`` over ``bounds`` to histograms.
    """

    family: Family
    numbers: Iterable[Number] = ()
    distributions: Iterable[Distribution] = ()
    bounds: tuple[float, ...] = ()
    created: float | None = None


def render(families: Iterable[Samples], form: Format) -> bytearray:
    """Return the page. Text of 0.0.4 leaves out ``created``, which it could only say with extra series."""
    page = bytearray()
    for samples in families:
        page += head(samples.family, form)
        for block in blocks(samples, form):
            page += block
    if form is Format.OPENMETRICS:
        page += END
    return page


def head(family: Family, form: Format) -> bytes:
    """Return the lines that introduce a family."""
    if form is Format.OPENMETRICS:
        stem, unit = family.stem, f"# UNIT {family.stem} {family.unit}\n" if family.unit else ""
        return f"# HELP {stem} {_escaped(family.help)}\n# TYPE {stem} {family.kind}\n{unit}".encode()
    kind = {Kind.INFO: "gauge", Kind.GAUGE_HISTOGRAM: "histogram"}.get(family.kind, str(family.kind))
    return f"# HELP {family.name} {_plain_help(family)}\n# TYPE {family.name} {kind}\n".encode()


def is_common(samples: Samples) -> bool:
    """Tell whether the blocks of a family are the same in both formats."""
    if samples.family.kind is Kind.COUNTER:
        return samples.created is None
    return samples.family.kind is not Kind.GAUGE_HISTOGRAM


def blocks(samples: Samples, form: Format) -> Iterator[bytes]:
    """Yield a family's series, many in a block, encoded."""
    kind, openmetrics = samples.family.kind, form is Format.OPENMETRICS
    if kind is Kind.HISTOGRAM:
        yield from _distributions(samples, "_count", "_sum")
    elif kind is Kind.GAUGE_HISTOGRAM and openmetrics:
        yield from _distributions(samples, "_gcount", "_gsum")
    elif kind is Kind.GAUGE_HISTOGRAM:
        yield from _plain_gauge_histogram(samples)
    elif kind is Kind.COUNTER and openmetrics and samples.created is not None:
        created = f"{samples.family.stem}_created%s {_number(samples.created)}\n"
        yield from _rows(samples.family.name, samples.family.labels, samples.numbers, created)
    else:
        yield from _rows(samples.family.name, samples.family.labels, samples.numbers)


def _rows(
    name: str, labels: tuple[str, ...], numbers: Iterable[Number], created: str = ""
) -> Iterator[bytes]:
    """Yield rows; by far the most pass here, so whole columns become text at a time.

    ``created`` ends each row where a second one follows, with a place for the labels.
    """
    columns = _Columns(name, labels)
    rows = iter(numbers)
    while block := list(islice(rows, _BLOCK_ROWS)):
        values, found = zip(*block, strict=True)
        series = columns.texts(values)
        ends = [
            f" {number!r}\n" if -1e6 < number < 1e6 and number.__class__ is float else f" {_number(number)}\n"
            for number in found
        ]
        if created:
            names = ["".join(parts) for parts in zip(*series, strict=True)]
            again = [created % text[len(name) :] for text in names]
            yield "".join(chain.from_iterable(zip(names, ends, again, strict=True))).encode()
        else:
            yield "".join(chain.from_iterable(zip(*series, ends, strict=True))).encode()


def _distributions(samples: Samples, count: str, total: str) -> Iterator[bytes]:
    """Yield each label set with its buckets, and with count and sum where those have names."""
    name, labels = samples.family.name, samples.family.labels
    bounds = [f'le="{_number(bound)}"' for bound in (*samples.bounds, inf)]
    escaped = _Escaped("%s")
    order = sorted(range(len(labels)), key=labels.__getitem__)
    lines: list[str] = []
    for values, counts, observed in samples.distributions:
        pairs = [(labels[index], f'{labels[index]}="{escaped[values[index]]}"') for index in order]
        before = "".join([f"{pair}," for label, pair in pairs if label < "le"])
        after = "".join([f",{pair}" for label, pair in pairs if label > "le"])
        lines += [
            f"{name}_bucket{{{before}{bound}{after}}} {_number(number)}\n"
            for bound, number in zip(bounds, counts, strict=True)
        ]
        if count:
            braced = f"{{{','.join([pair for _, pair in pairs])}}}" if pairs else ""
            lines.append(f"{name}{count}{braced} {_number(counts[-1])}\n")
            lines.append(f"{name}{total}{braced} {_number(observed)}\n")
        if len(lines) >= _BLOCK_ROWS:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()


def _plain_gauge_histogram(samples: Samples) -> Iterator[bytes]:
    """Yield what the old format can say: buckets pass for a histogram, count and sum for gauges."""
    family, rows = samples.family, list(samples.distributions)
    yield from _distributions(Samples(family, distributions=rows, bounds=samples.bounds), "", "")
    for suffix, numbers in (
        ("_gcount", [(values, counts[-1]) for values, counts, _ in rows]),
        ("_gsum", [(values, observed) for values, _, observed in rows]),
    ):
        if numbers:
            name = family.name + suffix
            yield f"# HELP {name} {_plain_help(family)}\n# TYPE {name} gauge\n".encode()
            yield from _rows(name, family.labels, numbers)


class _Escaped(dict[str, str]):
    """Label values with what they look like inside a pattern; each is escaped once."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = pattern

    def __missing__(self, value: str) -> str:
        self[value] = text = self._pattern % _escaped(value)
        return text


class _Columns:
    """Turns columns of label values into columns of text that make ``name{…}`` row by row."""

    def __init__(self, name: str, labels: tuple[str, ...]) -> None:
        self._name = name
        self._order = sorted(range(len(labels)), key=labels.__getitem__)
        patterns = [f',{labels[index]}="%s"' for index in self._order]
        if patterns:
            patterns[0] = f"{name}{{{patterns[0][1:]}"
            patterns[-1] += "}"
        self._escaped = [_Escaped(pattern) for pattern in patterns]

    def texts(self, rows: tuple[tuple[str, ...], ...]) -> list[Iterable[str]]:
        """Return one column of text per label; a single one without labels."""
        if not self._order:
            return [repeat(self._name, len(rows))]
        columns = list(zip(*rows, strict=True))
        return [
            map(escaped.__getitem__, columns[index])
            for index, escaped in zip(self._order, self._escaped, strict=True)
        ]


def _plain_help(family: Family) -> str:
    return family.help.replace("\\", r"\\").replace("\n", r"\n")


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """Write a number as Go does, which turns to exponents sooner than Python."""
    text = repr(float(value))
    if -1e6 < value < 1e6:
        return text
    if value != value:  # noqa: PLR0124 - the only number that differs from itself is no number.
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    dot = text.find(".")
    if value > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{dot - 1:02d}"
    return text
