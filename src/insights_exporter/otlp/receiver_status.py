"""What a receiver answers, beyond the yes or no that OpenTelemetry's exporters tell."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ReceiverStatus"]


@dataclass(slots=True)
class ReceiverStatus:
    """The answers to the requests of one push.

    ``failure`` is why the last one failed, in few words that are the same each time. ``refused`` says that
    the receiver took offence at this one request, so that another may fare better. ``rejected`` counts points
    that receivers left out, for the reason ``told``. ``retry_after`` is how many seconds to leave it alone.
    """

    failure_reason: str = ""
    request_invalid: bool = False
    rejected_points: int = 0
    message: str = ""
    retry_after: float = 0.0

    def record_failure(self, reason: str, *, request_invalid: bool = False, retry_after: float = 0.0) -> None:
        """Note that a request, or one try of it, failed."""
        self.failure_reason, self.request_invalid, self.retry_after = reason, request_invalid, retry_after

    def record_success(self, *, rejected_points: int, message: str) -> None:
        """Note that a request was taken, perhaps without some of its points."""
        self.failure_reason, self.request_invalid, self.retry_after = "", False, 0.0
        if rejected_points:
            self.rejected_points += rejected_points
            self.message = message
