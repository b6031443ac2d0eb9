"""Features of the simulated server by version."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from insights_exporter.coder.versions import ServerVersion

__all__ = ["Capability", "SimulatedVersion"]

_MIN_RELEASE: Final = (2, 12, 0)


class Capability(Enum):
    """A feature with the first release that has it, followed by backports to older release lines.

    The simulator is the oracle of the exporter's tests. It therefore keeps its own list of versions.
    """

    ALL_TEMPLATES = ((2, 13, 0),)
    ORGANIZATION_NAMES = ((2, 14, 0),)
    ALL_GROUPS = ((2, 15, 0),)
    USER_STATUS_COUNTS = ((2, 19, 0),)
    DEPRECATED_HIDDEN = ((2, 23, 0),)
    BEARER_HEADER = ((2, 25, 0),)
    PREBUILDS = ((2, 25, 0),)  # noqa: PIE796 # The same release.
    MANAGED_AGENTS = ((2, 26, 0),)
    TOKEN_SCOPES = ((2, 27, 0),)
    INSIGHTS_SWITCH = ((2, 30, 0),)
    DELETED_FIELD = ((2, 31, 0),)
    TIMEZONE = ((2, 32, 0),)
    LIMIT_PER_USER = ((2, 32, 0),)  # noqa: PIE796 # The same release.
    SERVICE_ACCOUNTS = ((2, 32, 0),)  # noqa: PIE796 # The same release.
    ORGANIZATION_LABEL = ((2, 32, 0),)  # noqa: PIE796 # The same release.
    FIXED_TOKEN_EXPIRY = ((2, 35, 0), (2, 34, 3), (2, 33, 9), (2, 32, 8))
    DEBUG_METRICS = ((2, 35, 0),)
    AI_METERS = ((2, 35, 0),)  # noqa: PIE796 # The same release.
    RECENT_FIELDS = ((2, 35, 0),)  # noqa: PIE796 # The same release.


@dataclass(frozen=True, slots=True)
class SimulatedVersion:
    """A version of Coder, such as ``v2.35.1+0a1b2c3``; raises ValueError for an unsupported one."""

    version: str
    capabilities: frozenset[Capability] = field(init=False)

    def __post_init__(self) -> None:
        """Validate the version and derive its capabilities."""
        version = ServerVersion.parse(self.version)
        if version is None or version.release < _MIN_RELEASE:
            raise ValueError(f"Expected a version from v2.12.0 on, found {self.version}.")
        supported = frozenset(
            capability for capability in Capability if _has_capability(version.release, capability)
        )
        object.__setattr__(self, "capabilities", supported)

    def supports(self, capability: Capability) -> bool:
        """Return whether this release has the feature."""
        return capability in self.capabilities


def _has_capability(release: tuple[int, int, int], capability: Capability) -> bool:
    first, *backports = capability.value
    return release >= first or any(release[:2] == line[:2] and release >= line for line in backports)
