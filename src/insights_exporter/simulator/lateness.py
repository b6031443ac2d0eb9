"""Use that Coder learns of late, as when an agent lost its connection or a rollup came behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from insights_exporter.simulator.seeded_random import uniform
from insights_exporter.simulator.usage import (
    HALF_HOURS_PER_DAY,
    UserDay,
    day_start,
    half_hour_counts,
    minute_mask,
)

__all__ = ["RollupDelay"]

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class RollupDelay:
    """A ``share`` of all half hours becomes known late, some by minutes and the latest by ``most``.

    Coder looks two hours back, so that nothing becomes known later than that.
    """

    fraction: float = 0.3
    max_delay: timedelta = timedelta(hours=2)
    seed: int = 1

    def is_complete(self, day: date, rollup_time: datetime) -> bool:
        """Say whether all of a day is known at a moment."""
        return day_start(day) + timedelta(days=1) + self.max_delay <= rollup_time

    def visible_mask(self, day: date, user_day: UserDay, rollup_time: datetime) -> int:
        """Return the minutes of a user's day that are known at a moment."""
        midnight = day_start(day)
        complete_until, visible_until = (
            (moment - midnight) // MINUTE for moment in (rollup_time - self.max_delay, rollup_time)
        )
        mask = minute_mask(0, complete_until)
        for bucket, _ in half_hour_counts(user_day.active_mask & minute_mask(complete_until, visible_until)):
            bucket_visible_until = (
                rollup_time - self._bucket_delay(day, user_day, bucket) - midnight
            ) // MINUTE
            mask |= minute_mask(30 * bucket, min(30 * bucket + 30, bucket_visible_until))
        return mask

    def _bucket_delay(self, day: date, user_day: UserDay, bucket: int) -> timedelta:
        key = user_day.template, user_day.user, day.toordinal() * HALF_HOURS_PER_DAY + bucket
        if uniform(self.seed, 101, *key) >= self.fraction:
            return timedelta()
        return self.max_delay * uniform(self.seed, 102, *key)
