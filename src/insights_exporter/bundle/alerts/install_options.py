"""What differs from one installation to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.promql import QueryBuilder

__all__ = ["InstallOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOptions:
    """Which series the rules look at, when they call, and where their links lead.

    ``matchers`` stand in every selector. ``labels`` are added to every alert, for routing.
    ``runbook_url`` is where the folder of runbooks is published. ``datasource`` is the uid that Grafana knows
    Prometheus by, ``namespace`` that of the manifest.
    """

    matchers: tuple[str, ...] = ('job="coder-insights"',)
    thresholds: Thresholds = field(default_factory=Thresholds)
    grafana_url: str = "http://localhost:3000"
    runbook_url: str = "https://runbooks.example.com/coder-insights"
    labels: Mapping[str, str] = field(default_factory=dict)
    datasource: str = "prometheus"
    namespace: str = "monitoring"

    @property
    def query(self) -> QueryBuilder:
        """Return where series are looked for."""
        return QueryBuilder(self.matchers)
