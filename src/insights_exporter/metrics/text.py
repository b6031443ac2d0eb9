"""Families as text: Prometheus 0.0.4 and OpenMetrics 1.0.

The bytes equal those of ``prometheus_client`` for the same families. What makes it fast: label values are
escaped once, each row is one f-string, and rows are encoded in blocks, so that little is held twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from insights_exporter.metrics.family import Family, Kind

__all__ = ["Distribution", "Format", "Number", "Samples", "render"]

_BLOCK_ROWS = 2000


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
        lines = _openmetrics(samples) if form is Format.OPENMETRICS else _text(samples)
        while block := "".join(islice(lines, _BLOCK_ROWS)):
            page += block.encode()
    if form is Format.OPENMETRICS:
        page += b"# EOF\n"
    return page


def _openmetrics(samples: Samples) -> Iterator[str]:
    family = samples.family
    yield f"# HELP {family.stem} {_escaped(family.help)}\n# TYPE {family.stem} {family.kind}\n"
    if family.unit:
        yield f"# UNIT {family.stem} {family.unit}\n"
    if samples.bounds:
        count, total = ("_gcount", "_gsum") if family.kind is Kind.GAUGE_HISTOGRAM else ("_count", "_sum")
        yield from _distributions(samples, count, total)
    elif samples.created is None or family.kind is not Kind.COUNTER:
        yield from _numbers(samples)
    else:
        yield from _numbers_with_created(samples, samples.created)


def _text(samples: Samples) -> Iterator[str]:
    family = samples.family
    kind = {Kind.INFO: "gauge", Kind.GAUGE_HISTOGRAM: "histogram"}.get(family.kind, str(family.kind))
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {text}\n# TYPE {family.name} {kind}\n"
    if family.kind is not Kind.GAUGE_HISTOGRAM:
        yield from _distributions(samples, "_count", "_sum") if samples.bounds else _numbers(samples)
        return
    # The old format has no gauge histogram: buckets pass for a histogram, count and sum for gauges.
    rows = list(samples.distributions)
    held = Samples(family, distributions=rows, bounds=samples.bounds)
    yield from _distributions(held, None, None)
    label = _labels(family.labels)
    for suffix, column in (
        ("_gcount", [(v, counts[-1]) for v, counts, _ in rows]),
        ("_gsum", [(v, s) for v, _, s in rows]),
    ):
        if column:
            yield f"# HELP {family.name}{suffix} {text}\n# TYPE {family.name}{suffix} gauge\n"
        for values, number in column:
            yield f"{family.name}{suffix}{label(values)} {_number(number)}\n"


def _numbers(samples: Samples) -> Iterator[str]:
    family, escaped = samples.family, _Escaped()
    pattern, order = _pattern(family.labels)
    line = f"{family.name}{pattern} %s\n"
    # By far the most rows pass here, so nothing is called that could be written out.
    for values, number in samples.numbers:
        text = repr(number) if -1e6 < number < 1e6 and number.__class__ is float else _number(number)
        yield line % (*[escaped[values[index]] for index in order], text)


def _numbers_with_created(samples: Samples, created: float) -> Iterator[str]:
    name, stem, label = samples.family.name, samples.family.stem, _labels(samples.family.labels)
    began = _number(created)
    for values, number in samples.numbers:
        labels = label(values)
        yield f"{name}{labels} {_number(number)}\n{stem}_created{labels} {began}\n"


def _distributions(samples: Samples, count: str | None, total: str | None) -> Iterator[str]:
    family = samples.family
    bucket, label = _labels((*family.labels, "le")), _labels(family.labels)
    bounds = [*(_number(bound) for bound in samples.bounds), "+Inf"]
    for values, counts, observed in samples.distributions:
        for bound, number in zip(bounds, counts, strict=True):
            yield f"{family.name}_bucket{bucket((*values, bound))} {_number(number)}\n"
        if count and total:
            labels = label(values)
            yield f"{family.name}{count}{labels} {_number(counts[-1])}\n"
            yield f"{family.name}{total}{labels} {_number(observed)}\n"


def _labels(names: tuple[str, ...]) -> Callable[[tuple[str, ...]], str]:
    """Return a function from label values to ``{…}``; it remembers what it escaped."""
    escaped = _Escaped()
    pattern, order = _pattern(names)
    return lambda values: pattern % tuple([escaped[values[index]] for index in order])


def _pattern(names: tuple[str, ...]) -> tuple[str, list[int]]:
    """Return ``{…}`` with a place per value, sorted by name, and the order in which values fill it."""
    order = sorted(range(len(names)), key=names.__getitem__)
    places = ",".join(f'{names[index]}="%s"' for index in order)
    return f"{{{places}}}" if places else "", order


class _Escaped(dict[str, str]):
    """Label values with what they look like in an exposition."""

    def __missing__(self, value: str) -> str:
        self[value] = text = _escaped(value)
        return text


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
