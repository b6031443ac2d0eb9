"""Samples with timestamps between two boundaries, as OpenMetrics text.

A range begins with the values of the boundary before it. Then gauges have the values of its end, because
Coder reports past days as a whole. Counters rise evenly, so that rates have no spikes at midnight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from insights_exporter.backfill.agent_day import AgentDay
from insights_exporter.backfill.boundaries import WRITTEN_FAMILIES, Boundary
from insights_exporter.backfill.family_rows import FamilyRows, Metric
from insights_exporter.coder.time_ranges import Window

__all__ = ["DEFAULT_STEP", "DEFAULT_USER_STEP", "RangeSamples", "SampleSteps"]

DEFAULT_STEP: Final = 300
"""Seconds between samples: Prometheus looks back five minutes, and rules with an offset run every minute."""

DEFAULT_USER_STEP: Final = 1800
"""Seconds between samples of series by user: most series, which dashboards query every half hour at most."""


@dataclass(frozen=True, slots=True)
class SampleSteps:
    """Seconds between samples; each divides an hour, so that every range is a multiple of it."""

    default: int = DEFAULT_STEP
    users: int = DEFAULT_USER_STEP


@dataclass(slots=True, kw_only=True)
class RangeSamples:
    """The samples of one range: from its start up to and without its end.

    ``before`` is the boundary before the range. In the first range of a backfill, only its rising values have
    a sample. The last range includes its end. ``agents`` has the agent statistics of the range.
    ``in_milliseconds`` selects the timestamps of the Prometheus text format in place of OpenMetrics' seconds.
    """

    window: Window
    before: Boundary
    after: Boundary
    steps: SampleSteps
    agents: AgentDay | None = None
    is_first: bool = False
    is_last: bool = False
    in_milliseconds: bool = False
    sample_count: int = field(default=0, init=False)

    @property
    def series(self) -> int:
        """The number of series at the end of the range."""
        return self.after.series + (self.agents.series if self.agents else 0)

    def parts(self, seconds: int) -> list[range]:
        """Return the range in parts that end at multiples of ``seconds``, as Unix times."""
        start, end = self._bounds
        ends = [*range((start // seconds + 1) * seconds, end, seconds), end]
        return [range(*part) for part in pairwise([start, *ends])]

    def text(self, part: range | None = None) -> Iterator[bytes]:
        """Yield the text of the range, or of a part of it, in blocks; OpenMetrics needs ``EOF`` after it."""
        for family in WRITTEN_FAMILIES:
            before, after = (one.families.get(family.name) for one in (self.before, self.after))
            if before is not None and self.is_first and not before.is_rising:
                before = None
            rows = after or before
            if rows is None:
                continue
            yield rows.header
            old, new = (one.metrics if one is not None else {} for one in (before, after))
            times = self._times(rows, range(*self._bounds) if part is None else part)
            starts = [timestamp for index, timestamp in times if index == 0]
            others = [timestamp for index, timestamp in times if index > 0]
            for key, metric in new.items():
                if rows.is_rising:
                    yield self._rising_lines(rows, key, metric, old.get(key), times)
                    continue
                if key in old:
                    yield self._lines(old[key], starts)
                yield self._lines(metric, others)
            for key, metric in old.items():
                if key not in new:
                    yield self._lines(metric, starts)

        if self.agents is not None:
            yield from self._agent_lines(self.agents, range(*self._bounds) if part is None else part)

    def _agent_lines(self, agents: AgentDay, part: range) -> Iterator[bytes]:
        for line in agents.lines(part, in_milliseconds=self.in_milliseconds):
            self.sample_count += not line.startswith(b"#")
            yield line

    @property
    def _bounds(self) -> tuple[int, int]:
        start, end = (int(time.timestamp()) for time in (self.window.start, self.window.end))
        return start, end + self.is_last

    def _step(self, rows: FamilyRows) -> int:
        return self.steps.users if rows.has_users else self.steps.default

    def _times(self, rows: FamilyRows, part: range) -> list[tuple[int, bytes]]:
        """Return the number and the timestamp of each sample in a part; number 0 is the range's start."""
        suffix = "000" if self.in_milliseconds else ""
        times = range(*self._bounds, self._step(rows))
        return [(index, f"{time}{suffix}".encode()) for index, time in enumerate(times) if time in part]

    def _lines(self, metric: Metric, timestamps: Sequence[bytes]) -> bytes:
        """Return the lines of a metric at each time; a histogram's lines of one time stay together."""
        self.sample_count += len(metric) * len(timestamps)
        parts = [metric[0], *(b"\n" + line for line in metric[1:]), b"\n"]
        if len(parts) > 2:
            return b"".join([timestamp.join(parts) for timestamp in timestamps])
        # Equal to the above, and several times faster for the usual single line.
        return metric[0] + (b"\n" + metric[0]).join(timestamps) + b"\n" if timestamps else b""

    def _rising_lines(
        self,
        rows: FamilyRows,
        key: bytes,
        metric: Metric,
        before: Metric | None,
        times: Sequence[tuple[int, bytes]],
    ) -> bytes:
        """Return the lines of a value that rises from the boundary before to the one after.

        A new series begins with 0, because ``increase()`` ignores the first value of a series. When the
        anchor moves, the old total has its last sample, and the new one rises from 0.
        """
        self.sample_count += len(times)
        previous = 0.0 if before is None else _value(before)
        final = _value(metric)
        is_reset = rows.is_counter and self.before.anchor != self.after.anchor
        base = 0.0 if is_reset else min(previous, final)
        rise = (final - base) * self._step(rows) / self.window.seconds
        # Coder counts whole minutes, so fractions of a second have no meaning.
        return b"".join(
            [
                b"%s %a %s\n" % (key, float(round(base + rise * index)) if index else previous, timestamp)
                for index, timestamp in times
            ]
        )


def _value(metric: Metric) -> float:
    return float(metric[0].rsplit(b" ", 2)[1])
