"""The lines of a family without timestamps, with the labels that a scrape adds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import FamilySamples, Format, encode
from insights_exporter.metrics.family import Family, MetricType

__all__ = ["FamilyRows", "Metric", "RowEncoder"]

Metric: TypeAlias = tuple[bytes, ...]
"""The lines of one label set up to the value and the space after it: one line, or those of a histogram."""


@dataclass(frozen=True, slots=True)
class FamilyRows:
    """The series of a family; ``metrics`` is keyed by the first line without its value."""

    family: Family
    header: bytes
    metrics: Mapping[bytes, Metric]

    @property
    def is_counter(self) -> bool:
        """Whether values add up since the anchor."""
        return self.family.type is MetricType.COUNTER

    @property
    def is_rising(self) -> bool:
        """Whether values rise within a day; others are known for whole days only."""
        return self.is_counter or self.family is catalogue.LAST_SUCCESS

    @property
    def has_users(self) -> bool:
        """Whether the family has a series for each user."""
        return "username" in self.family.labels


class RowEncoder:
    """Encodes families; ``labels`` are added to every series."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._label_text = b",".join(
            f'{name}="{_escape(value)}"'.encode() for name, value in sorted(labels.items())
        )

    def rows(self, samples: FamilySamples) -> FamilyRows:
        """Return the lines of a family."""
        blocks = encode(replace(samples, created=None), Format.OPENMETRICS)
        header = next(blocks)
        metrics: dict[bytes, Metric] = {}
        lines = self._lines(blocks)
        for metric in zip(*[lines] * samples.series_per_row, strict=True):
            metrics[metric[0].rpartition(b" ")[0]] = tuple(line + b" " for line in metric)
        return FamilyRows(samples.family, header, metrics)

    def _lines(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the lines of a family with the added labels."""
        for block in blocks:
            for line in block.splitlines():
                if not self._label_text:
                    yield line
                elif b"{" in line:
                    name, _, rest = line.partition(b"{")
                    yield name + b"{" + self._label_text + b"," + rest
                else:
                    name, _, rest = line.partition(b" ")
                    yield name + b"{" + self._label_text + b"} " + rest


def _escape(value: str) -> str:
    return re.sub(r'["\\]', r"\\\g<0>", value).replace("\n", r"\n")
