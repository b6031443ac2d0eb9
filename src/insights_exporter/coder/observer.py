"""What the client tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NullObserver", "Observer"]


class Observer(Protocol):
    """Receives events; endpoints are templates such as ``/insights/templates``."""

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Note that a request ended; ``code`` is the HTTP status, or the error's reason where none came."""
        ...

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Note that a request is tried once more."""
        ...

    def rate_limit_waited(self, seconds: float) -> None:
        """Note that a request waited for the server's rate limit."""
        ...

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Note that parts of an answer could not be used; ``example`` names one of the faults."""
        ...

    def version_changed(self, version: str) -> None:
        """Note that an answer named another server version than the one before."""
        ...


class NullObserver:
    """Ignores all events."""

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Ignore the event."""

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Ignore the event."""

    def rate_limit_waited(self, seconds: float) -> None:
        """Ignore the event."""

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Ignore the event."""

    def version_changed(self, version: str) -> None:
        """Ignore the event."""
