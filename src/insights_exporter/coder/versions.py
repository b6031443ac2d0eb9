"""The server's version, and what it can do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import total_ordering

__all__ = ["MIN_SUPPORTED_VERSION", "Feature", "ServerVersion"]

_PATTERN = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")


@total_ordering
@dataclass(frozen=True, slots=True)
class ServerVersion:
    """A version such as ``v2.26.1+0a1b2c3``; what comes before a release is older than it."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> ServerVersion | None:
        """Return the version; None where the text is none: a strange version must not stop anything."""
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            return None
        major, minor, patch, prerelease, build = match.groups()
        return cls(int(major), int(minor), int(patch), prerelease or "", build or "")

    @property
    def release(self) -> tuple[int, int, int]:
        """The three numbers."""
        return self.major, self.minor, self.patch

    def supports(self, feature: Feature) -> bool:
        """Say whether the server should have it; a development build may still lack it."""
        return self.release >= feature.since

    def __lt__(self, other: ServerVersion) -> bool:
        return self._sort_key() < other._sort_key()

    def __str__(self) -> str:
        """Return the version as Coder writes it."""
        prerelease = f"-{self.prerelease}" if self.prerelease else ""
        build = f"+{self.build}" if self.build else ""
        return f"v{self.major}.{self.minor}.{self.patch}{prerelease}{build}"

    def _sort_key(self) -> tuple[tuple[int, int, int], bool, tuple[tuple[int, str], ...], str]:
        identifiers = tuple(
            (int(part), "") if part.isdigit() else (-1, part) for part in self.prerelease.split(".")
        )
        return self.release, not self.prerelease, identifiers, self.build


class Feature(Enum):
    """What came with which release."""

    USER_LATENCY = (0, 27, 1)
    USER_ACTIVITY = (2, 2, 0)
    SECTIONS = (2, 2, 1)
    HALF_HOUR_ROLLUP = (2, 10, 0)
    TIMES_USED = (2, 12, 0)
    ALL_TEMPLATES = (2, 13, 0)
    ALL_ORGANIZATIONS = (2, 14, 0)
    USER_STATUS_COUNTS = (2, 19, 0)
    DEPRECATED_HIDDEN = (2, 23, 0)
    PREBUILDS = (2, 25, 0)
    INSIGHTS_SWITCH = (2, 30, 0)
    SERVICE_ACCOUNTS = (2, 32, 0)

    @property
    def since(self) -> tuple[int, int, int]:
        """The first release that has it."""
        return self.value


MIN_SUPPORTED_VERSION = ServerVersion(2, 12, 0)
"""The oldest server that the exporter is made for."""
