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

from insights_exporter.metrics.family import Family, Kind
from insights_exporter.metrics.notation import BLOCK_ROWS, escaped, texts, written
from insights_exporter.metrics.portion_text import PortionText
from insights_exporter.metrics.portions import Portions

__all__ = [
    "END",
    "Distribution",
    "Fine",
    "Format",
    "Fragments",
    "Number",
    "Packed",
    "Samples",
    "blocks",
    "head",
    "is_common",
    "render",
]

END: Final = b"# EOF\n"
"""What closes a page of OpenMetrics."""


class Format(StrEnum):
    """An exposition format, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


Number = tuple[tuple[str, ...], float]
"""A sample: label values in the order of the family's labels, and the number."""

Distribution = tuple[tuple[str, ...], tuple[float, ...], float]
"""Label values, cumulative counts per bound with infinity last, and the sum of what was observed."""

Packed = tuple[tuple[str, ...], tuple[int, float]]
"""Label values; counts per bucket side by side, none cumulative, and the sum of what was observed."""

Fine = tuple[tuple[str, ...], Mapping[int, int]]
"""Label values and counts by exponential bucket, none cumulative."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A family with what it holds; ``created`` is when its counters began, in Unix seconds.

    ``numbers`` belong to counters, gauges and infos; ``distributions`` over ``bounds`` to histograms, which
    are ``packed`` until a limit has chosen among them;
    ``fine`` has the same observations by exponential bucket, where they are counted. No text has room for it.
    """

    family: Family
    numbers: Iterable[Number] = ()
    distributions: Iterable[Distribution] = ()
    bounds: tuple[float, ...] = ()
    created: float | None = None
    fine: Iterable[Fine] | None = None
    packed: Iterable[Packed] | None = None


def render(families: Iterable[Samples], form: Format) -> bytearray:
    """Return the page. Text of 0.0.4 leaves out ``created``, which it could only say with extra series."""
    page, fragments = bytearray(), Fragments()
    for samples in families:
        page += head(samples.family, form)
        for block in blocks(samples, form, fragments):
            page += block
    if form is Format.OPENMETRICS:
        page += END
    return page


def head(family: Family, form: Format) -> bytes:
    """Return the lines that introduce a family."""
    if form is Format.OPENMETRICS:
        stem, unit = family.stem, f"# UNIT {family.stem} {family.unit}\n" if family.unit else ""
        return f"# HELP {stem} {escaped(family.help)}\n# TYPE {stem} {family.kind}\n{unit}".encode()
    kind = {Kind.INFO: "gauge", Kind.GAUGE_HISTOGRAM: "histogram"}.get(family.kind, str(family.kind))
    return f"# HELP {family.name} {_plain_help(family)}\n# TYPE {family.name} {kind}\n".encode()


def is_common(samples: Samples) -> bool:
    """Tell whether the blocks of a family are the same in both formats."""
    return samples.created is None and samples.family.kind is not Kind.GAUGE_HISTOGRAM


def blocks(samples: Samples, form: Format, fragments: Fragments) -> Iterator[bytes]:
    """Yield a family's series, many in a block, encoded; all families of a page share its ``fragments``."""
    kind, openmetrics = samples.family.kind, form is Format.OPENMETRICS
    created = samples.created if openmetrics else None
    if isinstance(samples.numbers, Portions):
        portioned = PortionText(samples.family, samples.numbers, created)
        yield from portioned.blocks(samples.numbers.portions)
        yield from blocks(replace(samples, numbers=samples.numbers.others), form, fragments)
    elif kind is Kind.HISTOGRAM:
        yield from _distributions(samples, fragments, "_count", "_sum", created)
    elif kind is Kind.GAUGE_HISTOGRAM and openmetrics:
        yield from _distributions(samples, fragments, "_gcount", "_gsum")
    elif kind is Kind.GAUGE_HISTOGRAM:
        yield from _plain_gauge_histogram(samples, fragments)
    elif kind is Kind.COUNTER and created is not None:
        again = f"{samples.family.stem}_created", f" {written(created)}\n"
        yield from _rows(samples.family.name, samples.family.labels, samples.numbers, fragments, again)
    else:
        yield from _rows(samples.family.name, samples.family.labels, samples.numbers, fragments)


def _rows(
    name: str,
    labels: tuple[str, ...],
    numbers: Iterable[Number],
    fragments: Fragments,
    created: tuple[str, str] | None = None,
) -> Iterator[bytes]:
    """Yield rows, a block at a time; by far the most series pass here.

    ``created`` is what stands before and behind the labels of a second row, where one follows each.
    """
    columns = _columns(labels, fragments)
    lines = _LINES.get(len(columns), _any)
    rows = iter(numbers)
    while block := list(islice(rows, BLOCK_ROWS)):
        text = (
            lines(name, columns, block) if columns else [f"{name} {written(number)}\n" for _, number in block]
        )
        if created:
            (before, after), begin = created, len(name)
            text = [f"{line}{before}{line[begin : line.rindex(' ')]}{after}" for line in text]
        yield "".join(text).encode()


class Fragments(dict[str, "_Labelled"]):
    """Labels with their values as they stand between braces, each made once for a whole page."""

    def __missing__(self, label: str) -> _Labelled:
        self[label] = found = _Labelled(label)
        return found


class _Labelled(dict[str, str]):
    """One label with each of its values."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def __missing__(self, value: str) -> str:
        self[value] = text = f'{self._label}="{escaped(value)}"'
        return text


_Columns = Sequence[tuple[_Labelled, int]]
"""Labels in order, and where the value of each stands."""

_Block = Sequence[Number]


def _columns(labels: tuple[str, ...], fragments: Fragments) -> _Columns:
    return [(fragments[labels[index]], index) for index in sorted(range(len(labels)), key=labels.__getitem__)]


def _any(name: str, columns: _Columns, block: _Block) -> list[str]:
    parts = [[labelled[labels[index]] for labels, _ in block] for labelled, index in columns]
    return [
        f"{name}{{{','.join(series)}}} {text}\n"
        for *series, text in zip(*parts, texts(n for _, n in block), strict=True)
    ]


# Most series have as many labels as one of these; written out, a row costs a quarter less.


def _three(name: str, columns: _Columns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k) = columns
    rows = zip(block, texts(n for _, n in block), strict=True)
    return [f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]}}} {text}\n" for (v, _), text in rows]


def _four(name: str, columns: _Columns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k), (d, m) = columns
    rows = zip(block, texts(n for _, n in block), strict=True)
    return [f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]},{d[v[m]]}}} {text}\n" for (v, _), text in rows]


def _five(name: str, columns: _Columns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k), (d, m), (e, o) = columns
    rows = zip(block, texts(n for _, n in block), strict=True)
    return [f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]},{d[v[m]]},{e[v[o]]}}} {text}\n" for (v, _), text in rows]


def _six(name: str, columns: _Columns, block: _Block) -> list[str]:
    (a, i), (b, j), (c, k), (d, m), (e, o), (f, p) = columns
    rows = zip(block, texts(n for _, n in block), strict=True)
    return [
        f"{name}{{{a[v[i]]},{b[v[j]]},{c[v[k]]},{d[v[m]]},{e[v[o]]},{f[v[p]]}}} {text}\n"
        for (v, _), text in rows
    ]


_LINES: Final = {3: _three, 4: _four, 5: _five, 6: _six}


def _distributions(
    samples: Samples, fragments: Fragments, count: str, total: str, created: float | None = None
) -> Iterator[bytes]:
    """Yield each label set with its buckets, with count and sum where those have names, and its beginning."""
    name = samples.family.name
    bounds = [f'le="{written(bound)}"' for bound in (*samples.bounds, inf)]
    # Labels stand in the order of their names, that of a bucket's bound among them.
    first = sum(label < "le" for label in samples.family.labels)
    columns, rows = _columns(samples.family.labels, fragments), iter(samples.distributions)
    began = None if created is None else written(created)
    while block := list(islice(rows, max(1, BLOCK_ROWS // (len(bounds) + 3)))):
        numbers = iter(texts(chain.from_iterable(counts for _, counts, _ in block)))
        sums = texts(observed for *_, observed in block)
        lines: list[str] = []
        for (values, counts, _), observed in zip(block, sums, strict=True):
            pairs = [labelled[values[index]] for labelled, index in columns]
            before = f"{name}_bucket{{{''.join([f'{pair},' for pair in pairs[:first]])}"
            after = f"{''.join([f',{pair}' for pair in pairs[first:]])}}} "
            buckets = zip(bounds, islice(numbers, len(counts)), strict=True)
            lines += [f"{before}{bound}{after}{number}\n" for bound, number in buckets]
            if count:
                braced = f"{{{','.join(pairs)}}}" if pairs else ""
                lines.append(f"{name}{count}{braced} {written(counts[-1])}\n")
                lines.append(f"{name}{total}{braced} {observed}\n")
                if began is not None:
                    lines.append(f"{name}_created{braced} {began}\n")
        yield "".join(lines).encode()


def _plain_gauge_histogram(samples: Samples, fragments: Fragments) -> Iterator[bytes]:
    """Yield what the old format can say: buckets pass for a histogram, count and sum for gauges."""
    family, rows = samples.family, list(samples.distributions)
    yield from _distributions(Samples(family, distributions=rows, bounds=samples.bounds), fragments, "", "")
    for suffix, numbers in (
        ("_gcount", [(values, counts[-1]) for values, counts, _ in rows]),
        ("_gsum", [(values, observed) for values, _, observed in rows]),
    ):
        if numbers:
            name = family.name + suffix
            yield f"# HELP {name} {_plain_help(family)}\n# TYPE {name} gauge\n".encode()
            yield from _rows(name, family.labels, numbers, fragments)


def _plain_help(family: Family) -> str:
    return family.help.replace("\\", r"\\").replace("\n", r"\n")
