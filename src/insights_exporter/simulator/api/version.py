"""What the simulated server's version can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from insights_exporter.coder.versions import ServerVersion

__all__ = ["Capability", "SimulatedVersion"]


class Capability(Enum):
    """What came with which release of Coder."""

    ALL_TEMPLATES = (2, 13, 0)
    ORGANIZATION_NAMES = (2, 14, 0)
    USER_STATUS_COUNTS = (2, 19, 0)
    DEPRECATED_HIDDEN = (2, 23, 0)
    BEARER_HEADER = (2, 25, 0)
    PREBUILDS = (2, 25, 0)
    INSIGHTS_SWITCH = (2, 30, 0)
    DELETED_FIELD = (2, 31, 0)
    TIMEZONE = (2, 32, 0)
    LIMIT_PER_USER = (2, 32, 0)
    SERVICE_ACCOUNTS = (2, 32, 0)
    ORGANIZATION_LABEL = (2, 32, 0)
    DEBUG_METRICS = (2, 35, 0)


@dataclass(frozen=True, slots=True)
class SimulatedVersion:
    """A version of Coder, such as ``v2.35.1+0a1b2c3``; raises ValueError where it is none or before v2.12."""

    version: str
    capabilities: frozenset[Capability] = field(init=False)

    def __post_init__(self) -> None:
        """Refuse versions that the simulator does not imitate."""
        version = ServerVersion.parse(self.version)
        if version is None or version.release < (2, 12, 0):
            raise ValueError(f"Expected a version from v2.12.0 on, found {self.version}.")
        supported = frozenset(capability for capability in Capability if version.release >= capability.value)
        object.__setattr__(self, "capabilities", supported)

    def supports(self, capability: Capability) -> bool:
        """Say whether this release can do it."""
        return capability in self.capabilities
