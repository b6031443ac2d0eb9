"""State of the exporter and its collectors, as the landing page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

__all__ = ["CollectorState", "ExporterStatus", "StateLabel"]

_COLLECTOR_TITLES: Final[Mapping[str, str]] = {
    "inventory": "Templates, workspaces, users",
    "insights": "Insights",
    "deployment": "Deployment",
    "agent_stats": "Agent reports",
}


@dataclass(frozen=True, slots=True)
class StateLabel:
    """A state as a word, with the CSS class and the symbol that go with it."""

    label: str
    css_class: str
    symbol: str


_OK: Final = StateLabel("ok", "good", "●")
_FAILING: Final = StateLabel("failing", "fair", "▲")
_NO_DATA: Final = StateLabel("no data", "slow", "■")
_WAITING: Final = StateLabel("waiting", "none", "○")
_OFF: Final = StateLabel("off", "none", "○")
_READY: Final = StateLabel("ready", "good", "●")
_WARMING_UP: Final = StateLabel("warming up", "fair", "▲")
_NOT_READY: Final = StateLabel("not ready", "slow", "■")


@dataclass(frozen=True, slots=True)
class CollectorState:
    """State of one collector.

    ``error`` is the reason of the last failure, empty after a success. ``served`` is whether the snapshot
    holds its data, ``configured`` whether it runs at all.
    """

    name: str
    last_success: datetime | None = None
    error: str = ""
    served: bool = False
    configured: bool = True

    @property
    def title(self) -> str:
        """Title of the collector's row."""
        return _COLLECTOR_TITLES.get(self.name, self.name)

    @property
    def state(self) -> StateLabel:
        """State as the page shows it."""
        if not self.configured:
            return _OFF
        if self.error:
            return _FAILING if self.served else _NO_DATA
        return _OK if self.served else _WAITING


@dataclass(frozen=True, slots=True)
class ExporterStatus:
    """State of the exporter at the time of the request.

    ``not_ready_reason`` is empty while ``/-/ready`` succeeds. ``warming_up`` is True until the first poll has
    finished. ``warm_up_ratio`` is the share of the needed data that was fetched since the start. ``data_at``
    is the time of the served insights; data is old after ``max_data_age`` seconds.
    """

    now: datetime
    version: str
    not_ready_reason: str = ""
    collectors: Sequence[CollectorState] = ()
    warming_up: bool = False
    warm_up_ratio: float = 1.0
    data_at: datetime | None = None
    max_data_age: float = float("inf")
    metrics_path: str = "/metrics"

    @property
    def state(self) -> StateLabel:
        """State as the page shows it."""
        if self.warming_up:
            return _WARMING_UP
        if self.not_ready_reason:
            return _NOT_READY
        if self.warm_up_ratio < 1.0:
            return replace(_WARMING_UP, label=f"{_WARMING_UP.label} {self.warm_up_percent}")
        return _READY

    @property
    def warm_up_percent(self) -> str:
        """The share of the needed data in percent, rounded down, so that 100 % means complete."""
        return f"{int(100 * self.warm_up_ratio)} %"

    @property
    def data_is_old(self) -> bool:
        """Whether the insights should have been replaced by newer ones."""
        return self.data_at is not None and self.age(self.data_at) > self.max_data_age

    def age(self, at: datetime) -> float:
        """Return the seconds since a time; 0 for a time in the future."""
        return max(0.0, (self.now - at).total_seconds())
