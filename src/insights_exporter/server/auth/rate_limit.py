"""Token buckets of incoming requests and login attempts.

``coder.rate_limit`` is about the other direction: it follows the limits that Coder reports for the exporter's
own requests.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from insights_exporter.server.auth.passwords import PasswordVerifier

__all__ = ["LOGIN_ATTEMPT_LIMIT", "AuthState", "RateLimit", "TokenBucket"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One request per ``interval`` seconds, and up to ``burst`` requests at once."""

    interval: float
    burst: int


LOGIN_ATTEMPT_LIMIT: Final = RateLimit(interval=1.0, burst=10)
"""Login attempts per client address."""

_MAX_ADDRESSES: Final = 1024
"""Client addresses with a bucket; the least recently used one is evicted."""


class TokenBucket:
    """A bucket of ``burst`` tokens, refilled with one token per ``interval``."""

    __slots__ = ("_limit", "_refilled_at", "_tokens")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._refilled_at = now

    def take(self, now: float) -> bool:
        """Take one token; return whether there was one."""
        refilled = self._tokens + (now - self._refilled_at) / self._limit.interval
        self._tokens = min(float(self._limit.burst), refilled)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AuthState:
    """Verified logins, login attempts and the request rate.

    It outlives a reload of the configuration: a reload neither requires verification of unchanged logins nor
    grants new attempts.
    """

    def __init__(self) -> None:
        self.password_verifier = PasswordVerifier()
        self._attempt_buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._request_bucket: tuple[RateLimit, TokenBucket] | None = None

    def allow_attempt(self, address: str, now: float) -> bool:
        """Count a login attempt of a client address; return whether it is allowed."""
        bucket = self._attempt_buckets.setdefault(address, TokenBucket(LOGIN_ATTEMPT_LIMIT, now))
        self._attempt_buckets.move_to_end(address)
        if len(self._attempt_buckets) > _MAX_ADDRESSES:
            self._attempt_buckets.popitem(last=False)
        return bucket.take(now)

    def allow_request(self, rate_limit: RateLimit | None, now: float) -> bool:
        """Count a request; return whether the rate limit allows it."""
        if rate_limit is None:
            return True
        if self._request_bucket is None or self._request_bucket[0] != rate_limit:
            self._request_bucket = (rate_limit, TokenBucket(rate_limit, now))
        return self._request_bucket[1].take(now)
