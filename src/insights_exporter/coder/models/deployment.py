"""How the deployment as a whole is doing."""

from __future__ import annotations

from msgspec import Struct, field

from insights_exporter.coder.models.fields import Count, Milliseconds, Text, Time, to_seconds

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
    """Milliseconds under capital keys; -1 without a sample."""

    p50: Milliseconds = field(name="P50", default=-1)
    p95: Milliseconds = field(name="P95", default=-1)


class WorkspaceStats(Struct, frozen=True, gc=False):
    """States and traffic of all workspaces, the traffic over the last quarter of an hour; None is unknown."""

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
        """The median round trip; None without a sample."""
        return to_seconds(self.connection_latency_ms.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile of the round trip; None without a sample."""
        return to_seconds(self.connection_latency_ms.p95)


class SessionCount(Struct, frozen=True, gc=False):
    """Sessions open now; None is unknown."""

    vscode: Count | None = None
    ssh: Count | None = None
    jetbrains: Count | None = None
    reconnecting_pty: Count | None = None


class DeploymentStats(Struct, frozen=True, gc=False):
    """``/deployment/stats``."""

    workspaces: WorkspaceStats
    session_count: SessionCount
    collected_at: Time | None = None


class SectionHealth(Struct, frozen=True, gc=False):
    """One part of the health report."""

    healthy: bool = False
    severity: Text = ""


class DatabaseHealth(Struct, frozen=True, gc=False):
    """The database's part of the health report."""

    healthy: bool = False
    severity: Text = ""
    reachable: bool = False
    latency_ms: Milliseconds = -1

    @property
    def latency_seconds(self) -> float | None:
        """The database's answering time; None where it was not measured."""
        return to_seconds(self.latency_ms)


class Health(Struct, frozen=True, gc=False):
    """``/debug/health``; a part that the server does not report is None."""

    healthy: bool
    severity: Text = ""
    time: Time | None = None
    derp: SectionHealth | None = None
    access_url: SectionHealth | None = None
    websocket: SectionHealth | None = None
    database: DatabaseHealth | None = None
    workspace_proxy: SectionHealth | None = None
    provisioner_daemons: SectionHealth | None = None

    def sections(self) -> dict[str, SectionHealth | DatabaseHealth]:
        """Return the reported parts by name."""
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
    """What the licence says on a feature; ``limit`` and ``actual`` are None where unknown."""

    entitlement: Text = "not_entitled"
    enabled: bool = False
    limit: Count | None = None
    actual: Count | None = None


class Entitlements(Struct, frozen=True, gc=False):
    """``/entitlements``."""

    features: dict[str, Entitlement] = {}
    has_license: bool = False
    trial: bool = False

    @property
    def user_limit(self) -> int | None:
        """How many users the licence allows; None where it sets no limit."""
        seats = self.features.get("user_limit")
        return seats.limit if seats is not None and seats.enabled else None
