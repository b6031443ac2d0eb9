"""Labelled metric families in the text format of Prometheus' Go client."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

__all__ = ["DuplicateMetricError", "HistogramVec", "MetricVec", "format_metrics"]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class DuplicateMetricError(Exception):
    """Two series have the same labels; coderd then fails the whole scrape."""


class MetricVec:
    """A metric family; without series it is not written."""

    def __init__(
        self, name: str, help_text: str, labels: Iterable[str] = (), *, metric_type: str = "gauge"
    ) -> None:
        self.name = name
        self.help = help_text
        self.labels = tuple(labels)
        self.type = metric_type
        self.values: dict[tuple[str, ...], float] = {}
        self._histogram: tuple[int, float] | None = None

    def set(self, value: float, *labels: str) -> None:
        """Set a series; an earlier value is overwritten."""
        self.values[labels] = value

    def add(self, value: float, *labels: str) -> None:
        """Add to a series."""
        self.values[labels] = self.values.get(labels, 0.0) + value

    def set_unique(self, value: float, *labels: str) -> None:
        """Set a new series; raise DuplicateMetricError for an existing one."""
        if labels in self.values:
            raise DuplicateMetricError(
                f'collected metric "{self.name}" was collected before with the same labels'
            )
        self.values[labels] = value

    def set_histogram(self, count: int, total: float) -> None:
        """Turn the family into a histogram of short observations."""
        self._histogram = count, total

    def lines(self) -> Iterable[str]:
        """Yield the lines of the family with sorted labels."""
        if not self.values and self._histogram is None:
            return
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.type}"
        if self._histogram is not None:
            count, total = self._histogram
            for bound in ("0.005", "0.01", "+Inf"):
                yield f'{self.name}_bucket{{le="{bound}"}} {count}'
            yield f"{self.name}_sum {_format_float(total)}"
            yield f"{self.name}_count {count}"
        order = sorted(range(len(self.labels)), key=self.labels.__getitem__)
        for labels in sorted(self.values, key=lambda label_values: [label_values[index] for index in order]):
            pairs = ",".join(f'{self.labels[index]}="{labels[index].translate(_ESCAPES)}"' for index in order)
            yield (
                f"{self.name}{{{pairs}}} {_format_float(self.values[labels])}"
                if pairs
                else (f"{self.name} {_format_float(self.values[labels])}")
            )


class HistogramVec(MetricVec):
    """A labelled histogram; ``bounds`` are the upper bounds of its buckets, without ``+Inf``."""

    def __init__(
        self, name: str, help_text: str, labels: Iterable[str], *, bounds: tuple[float, ...]
    ) -> None:
        super().__init__(name, help_text, labels, metric_type="histogram")
        self._bounds = (*bounds, math.inf)
        self._counts: dict[tuple[str, ...], list[int]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count an observation; ``values`` holds the sums."""
        counts = self._counts.setdefault(labels, [0] * len(self._bounds))
        for index, bound in enumerate(self._bounds):
            counts[index] += value <= bound
        self.add(value, *labels)

    def lines(self) -> Iterable[str]:
        """Yield the lines of the family with sorted labels."""
        if not self.values:
            return
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.type}"
        order = sorted(range(len(self.labels)), key=self.labels.__getitem__)
        for labels in sorted(self.values, key=lambda label_values: [label_values[index] for index in order]):
            pairs = ",".join(f'{self.labels[index]}="{labels[index].translate(_ESCAPES)}"' for index in order)
            for bound, count in zip(self._bounds, self._counts[labels], strict=True):
                le = "+Inf" if bound == math.inf else _format_float(bound)
                yield f'{self.name}_bucket{{{pairs},le="{le}"}} {count}'
            yield f"{self.name}_sum{{{pairs}}} {_format_float(self.values[labels])}"
            yield f"{self.name}_count{{{pairs}}} {self._counts[labels][-1]}"


def format_metrics(vectors: Iterable[MetricVec]) -> str:
    """Return the exposition with sorted families."""
    sorted_vectors = sorted(vectors, key=lambda vector: vector.name)
    return "".join(f"{line}\n" for vector in sorted_vectors for line in vector.lines())


def _format_float(value: float) -> str:
    """Return Go's shortest form, with an exponent from 1e6 on."""
    if value == int(value) and abs(value) < 1_000_000:
        return str(int(value))
    exact = Decimal(repr(float(value))).normalize()
    exponent = exact.adjusted()
    if -4 <= exponent < 6:
        return f"{exact:f}"
    return f"{exact.scaleb(-exponent):f}e{exponent:+03d}"
