"""What a receiver answers, beyond the yes or no that OpenTelemetry's exporters tell."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Answers"]


@dataclass(slots=True)
class Answers:
    """The answers to the requests of one push.

    ``failure`` is why the last one failed, in few words that are the same each time. ``refused`` says that
    the receiver took offence at this one request, so that another may fare better. ``rejected`` counts points
    that receivers left out, for the reason ``told``. ``retry_after`` is how many seconds to leave it alone.
    """

    failure: str = ""
    refused: bool = False
    rejected: int = 0
    told: str = ""
    retry_after: float = 0.0

    def failed(self, why: str, *, refused: bool = False, retry_after: float = 0.0) -> None:
        """Note that a request, or one try of it, failed."""
        self.failure, self.refused, self.retry_after = why, refused, retry_after

    def succeeded(self, *, rejected: int, told: str) -> None:
        """Note that a request was taken, perhaps without some of its points."""
        self.failure, self.refused, self.retry_after = "", False, 0.0
        if rejected:
            self.rejected += rejected
            self.told = told
