"""What is remembered of visitors; it outlives the configuration under which they came."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from insights_exporter.web.config import RateLimit
from insights_exporter.web.passwords import Passwords
from insights_exporter.web.rate import Bucket

__all__ = ["ATTEMPTS", "Visitors"]

ATTEMPTS: Final = RateLimit(interval=1.0, burst=10)
"""Wrong passwords from one address."""
_ADDRESSES = 1024
"""Addresses whose attempts are counted."""


class Visitors:
    """Right logins, wrong attempts and the rate of requests.

    A new reading of the configuration asks nobody for a password again, unless its hash changed, and gives
    nobody new attempts.
    """

    def __init__(self) -> None:
        self.passwords = Passwords()
        self._attempts: OrderedDict[str, Bucket] = OrderedDict()
        self._rate: tuple[RateLimit, Bucket] | None = None

    def may_try(self, address: str, now: float) -> bool:
        """Spend an attempt of an address; say whether there was one left."""
        bucket = self._attempts.setdefault(address, Bucket(ATTEMPTS.interval, ATTEMPTS.burst))
        self._attempts.move_to_end(address)
        if len(self._attempts) > _ADDRESSES:
            self._attempts.popitem(last=False)
        return bucket.take(now)

    def in_time(self, rate: RateLimit | None, now: float) -> bool:
        """Count a request; say whether the rate admits it."""
        if rate is None:
            return True
        if self._rate is None or self._rate[0] != rate:
            self._rate = (rate, Bucket(rate.interval, rate.burst))
        return self._rate[1].take(now)
