"""Use that Coder learns of late, as when an agent lost its connection or a rollup came behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from insights_exporter.simulator.dice import chance
from insights_exporter.simulator.usage import BUCKETS, UserDay, buckets, day_start, minutes

__all__ = ["Lateness"]

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Lateness:
    """A ``share`` of all half hours becomes known late, some by minutes and the latest by ``most``.

    Coder looks two hours back, so that nothing becomes known later than that.
    """

    share: float = 0.3
    most: timedelta = timedelta(hours=2)
    seed: int = 1

    def settled(self, day: date, known: datetime) -> bool:
        """Say whether all of a day is known at a moment."""
        return day_start(day) + timedelta(days=1) + self.most <= known

    def seen(self, day: date, use: UserDay, known: datetime) -> int:
        """Return the minutes of a user's day that are known at a moment."""
        begin = day_start(day)
        sure, last = ((moment - begin) // MINUTE for moment in (known - self.most, known))
        mask = minutes(0, sure)
        for bucket, _ in buckets(use.used & minutes(sure, last)):
            upto = (known - self._delay(day, use, bucket) - begin) // MINUTE
            mask |= minutes(30 * bucket, min(30 * bucket + 30, upto))
        return mask

    def _delay(self, day: date, use: UserDay, bucket: int) -> timedelta:
        place = use.template, use.user, day.toordinal() * BUCKETS + bucket
        if chance(self.seed, 101, *place) >= self.share:
            return timedelta()
        return self.most * chance(self.seed, 102, *place)
