"""What is remembered of visitors; it outlives the configuration under which they came."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from insights_exporter.server.auth.passwords import PasswordVerifier
from insights_exporter.server.auth.rate_limit import TokenBucket
from insights_exporter.server.auth.web_config import RateLimit

__all__ = ["LOGIN_ATTEMPT_LIMIT", "AuthState"]

LOGIN_ATTEMPT_LIMIT: Final = RateLimit(interval=1.0, burst=10)
"""Wrong passwords from one address."""
_MAX_ADDRESSES = 1024
"""Addresses whose attempts are counted."""


class AuthState:
    """Right logins, wrong attempts and the rate of requests.

    A new reading of the configuration asks nobody for a password again, unless its hash changed, and gives
    nobody new attempts.
    """

    def __init__(self) -> None:
        self.password_verifier = PasswordVerifier()
        self._attempt_buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._request_bucket: tuple[RateLimit, TokenBucket] | None = None

    def allow_attempt(self, address: str, now: float) -> bool:
        """Spend an attempt of an address; say whether there was one left."""
        bucket = self._attempt_buckets.setdefault(
            address, TokenBucket(LOGIN_ATTEMPT_LIMIT.interval, LOGIN_ATTEMPT_LIMIT.burst)
        )
        self._attempt_buckets.move_to_end(address)
        if len(self._attempt_buckets) > _MAX_ADDRESSES:
            self._attempt_buckets.popitem(last=False)
        return bucket.take(now)

    def allow_request(self, rate_limit: RateLimit | None, now: float) -> bool:
        """Count a request; say whether the rate admits it."""
        if rate_limit is None:
            return True
        if self._request_bucket is None or self._request_bucket[0] != rate_limit:
            self._request_bucket = (rate_limit, TokenBucket(rate_limit.interval, rate_limit.burst))
        return self._request_bucket[1].take(now)
