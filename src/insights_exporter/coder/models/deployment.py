"""Responses about the deployment as a whole: statistics, health and licence."""

from __future__ import annotations

from msgspec import Struct, field

from insights_exporter.coder.models.fields import (
    Amount,
    Count,
    Milliseconds,
    Text,
    Time,
    check_times,
    to_seconds,
)

__all__ = [
    "DatabaseHealth",
    "DeploymentStats",
    "Entitlement",
    "Entitlements",
    "Health",
    "PercentilesMs",
    "SectionHealth",
    "SessionCount",
    "WorkspaceStats",
]


class PercentilesMs(Struct, frozen=True, gc=False):
    """Percentiles in milliseconds; the keys are upper case here; -1 without a sample."""

    p50: Milliseconds = field(name="P50", default=-1)
    p95: Milliseconds = field(name="P95", default=-1)


class WorkspaceStats(Struct, frozen=True, gc=False):
    """Workspaces by build status, and their traffic of the last 15 minutes; None is unknown."""

    pending: Count | None = None
    building: Count | None = None
    running: Count | None = None
    failed: Count | None = None
    stopped: Count | None = None
    rx_bytes: Count | None = None
    tx_bytes: Count | None = None
    connection_latency_ms: PercentilesMs = PercentilesMs()

    @property
    def p50_seconds(self) -> float | None:
        """The median round-trip time; None without a sample."""
        return to_seconds(self.connection_latency_ms.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile of the round-trip time; None without a sample."""
        return to_seconds(self.connection_latency_ms.p95)


class SessionCount(Struct, frozen=True, gc=False):
    """Open sessions; None is unknown."""

    vscode: Count | None = None
    ssh: Count | None = None
    jetbrains: Count | None = None
    reconnecting_pty: Count | None = None


class DeploymentStats(Struct, frozen=True, gc=False):
    """``/deployment/stats``."""

    workspaces: WorkspaceStats
    session_count: SessionCount


class SectionHealth(Struct, frozen=True, gc=False):
    """One section of the health report."""

    healthy: bool = False
    severity: Text = ""


class DatabaseHealth(Struct, frozen=True, gc=False):
    """The database section of the health report."""

    healthy: bool = False
    severity: Text = ""
    latency_ms: Milliseconds = -1


class Health(Struct, frozen=True, gc=False):
    """``/debug/health``; a section that the server does not report is None."""

    healthy: bool
    severity: Text = ""
    time: Time | None = None
    derp: SectionHealth | None = None
    access_url: SectionHealth | None = None
    websocket: SectionHealth | None = None
    database: DatabaseHealth | None = None
    workspace_proxy: SectionHealth | None = None
    provisioner_daemons: SectionHealth | None = None

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.time)

    def sections(self) -> dict[str, SectionHealth | DatabaseHealth]:
        """Return the reported sections by name."""
        parts = {
            "derp": self.derp,
            "access_url": self.access_url,
            "websocket": self.websocket,
            "database": self.database,
            "workspace_proxy": self.workspace_proxy,
            "provisioner_daemons": self.provisioner_daemons,
        }
        return {name: section for name, section in parts.items() if section is not None}


class Entitlement(Struct, frozen=True, gc=False):
    """Entitlement of a licensed feature; ``limit`` and ``actual`` are None if unknown."""

    entitlement: Text = "not_entitled"
    enabled: bool = False
    limit: Amount | None = None
    actual: Amount | None = None


class Entitlements(Struct, frozen=True, gc=False):
    """``/entitlements``."""

    features: dict[str, Entitlement] = {}
