"""Server versions and the features that they support."""

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
    """A version such as ``v2.26.1+0a1b2c3``; a prerelease sorts before its release."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> ServerVersion | None:
        """Return the version; None for an invalid text, as an unknown format must not fail requests."""
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            return None
        major, minor, patch, prerelease, build = match.groups()
        return cls(int(major), int(minor), int(patch), prerelease or "", build or "")

    @property
    def release(self) -> tuple[int, int, int]:
        """Major, minor and patch version."""
        return self.major, self.minor, self.patch

    def supports(self, feature: Feature) -> bool:
        """Return whether the release has the feature; a development build may lack it."""
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
    """Features of the API, by the release that introduced them."""

    TIMES_USED = (2, 12, 0)
    ALL_TEMPLATES = (2, 13, 0)
    ALL_ORGANIZATIONS = (2, 14, 0)
    DEPRECATED_HIDDEN = (2, 23, 0)
    INSIGHTS_SWITCH = (2, 30, 0)

    @property
    def since(self) -> tuple[int, int, int]:
        """The first release with the feature."""
        return self.value


MIN_SUPPORTED_VERSION = ServerVersion(2, 12, 0)
"""The oldest supported server."""
