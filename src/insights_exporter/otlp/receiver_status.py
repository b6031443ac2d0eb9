"""Responses of an OTLP receiver, in more detail than OpenTelemetry's exporters report them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["FailureReason", "ReceiverStatus", "clean_message"]

_MAX_MESSAGE_LENGTH: Final = 200
_SPACE_OR_CONTROL: Final = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2066-\u2069]+"
)
"""White space, control characters, lone surrogates, and characters that change the text direction."""


class FailureReason(StrEnum):
    """Class of a failure: the value of the label ``reason``."""

    UNAVAILABLE = "unavailable"
    """No connection, no response in time, or a response of a gateway (HTTP 5xx)."""
    TLS = "tls"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    """Wrong path, or a server that is no OTLP receiver."""
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    """The receiver read the request and rejected its points."""
    REDIRECT = "redirect"
    CONFIG = "config"
    """A header or certificate file is missing or invalid."""
    STOPPED = "stopped"
    """The exporter stopped during the push."""
    INTERNAL = "internal"
    OTHER = "other"


@dataclass(slots=True)
class ReceiverStatus:
    """State of one push.

    ``error`` describes why the last request failed: an exception's name or a status code. ``reason`` is its
    class. ``request_invalid`` is true if the receiver rejected this request for its content: the next request
    may succeed. ``rejected_points`` are points that the receiver dropped from accepted requests. ``message``
    is the receiver's own text, raw. ``retry_after`` is the pause in seconds that the receiver requests.
    """

    reason: FailureReason = FailureReason.UNAVAILABLE
    error: str = ""
    message: str = ""
    request_invalid: bool = False
    rejected_points: int = 0
    retry_after: float = 0.0

    def reset(self) -> None:
        """Start a push."""
        self.rejected_points, self.message, self.error = 0, "", ""

    def record_failure(
        self,
        reason: FailureReason,
        error: str,
        *,
        message: str = "",
        request_invalid: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        """Record a failed request or attempt."""
        self.reason, self.error, self.message = reason, error, message
        self.request_invalid, self.retry_after = request_invalid, retry_after

    def record_success(self, *, rejected_points: int, message: str) -> None:
        """Record an accepted request, maybe without some of its points."""
        self.request_invalid, self.retry_after = False, 0.0
        if rejected_points:
            self.rejected_points += rejected_points
            self.reason, self.error, self.message = FailureReason.REJECTED, "", message


def clean_message(text: str) -> str:
    """Return a receiver's text as one printable line of at most 200 characters."""
    return _SPACE_OR_CONTROL.sub(" ", text).strip()[:_MAX_MESSAGE_LENGTH]
