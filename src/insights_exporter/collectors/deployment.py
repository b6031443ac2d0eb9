"""The deployment as a whole: version, users by status, licence; and what the token may do, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from insights_exporter.coder import responses
from insights_exporter.coder.authorization import PREFLIGHT
from insights_exporter.coder.version import Feature
from insights_exporter.collectors.cadence import is_due
from insights_exporter.collectors.collected import Collected
from insights_exporter.collectors.faults import Faults, KnownFaults
from insights_exporter.collectors.source import Coder
from insights_exporter.errors import ExporterError, Forbidden, NotPermitted, RouteMissing
from insights_exporter.settings import PollSettings
from insights_exporter.snapshot import Deployment
from insights_exporter.telemetry import Telemetry

__all__ = ["DeploymentCollector", "DeploymentState"]

STATUSES = ("active", "dormant", "suspended")


@dataclass(slots=True)
class DeploymentState:
    """What must outlive a poll: numbers that hardly move, and what was told."""

    users: Mapping[str, int] = field(default_factory=dict)
    license_user_limit: int | None = None
    read_at: datetime | None = None
    """When users and licence were last read without a fault."""
    known: KnownFaults = field(default_factory=KnownFaults)


class DeploymentCollector:
    """Asks about the deployment and about the token."""

    name = "deployment"

    def __init__(
        self, *, poll: PollSettings, telemetry: Telemetry, state: DeploymentState | None = None
    ) -> None:
        self._poll = poll
        self._telemetry = telemetry
        self.state = state if state is not None else DeploymentState()

    async def collect(self, coder: Coder, *, now: datetime) -> Collected[Deployment]:
        """Return what is known of the deployment.

        Raises an ExporterError where Coder does not answer or does not accept the token.
        """
        faults = Faults(self.name, telemetry=self._telemetry, known=self.state.known)
        try:
            build = await coder.build_info()
            allowed = await coder.authcheck(PREFLIGHT)
            for key, check in PREFLIGHT.items():
                granted = allowed.get(key, False)
                self._telemetry.permission(check.resource_type, check.action, granted=granted)
            last = self.state.read_at
            if last is None or is_due("deployment", last=last, now=now, every=self._poll.refresh_interval):
                await self._read_slow(coder, now, faults, allowed)
        finally:
            faults.settle()
        deployment = Deployment(
            version=build.version,
            dashboard_url=build.dashboard_url or build.external_url,
            deployment_id=build.deployment_id,
            users=self.state.users,
            license_user_limit=self.state.license_user_limit,
        )
        return Collected(deployment, faults.count)

    async def _read_slow(
        self, coder: Coder, now: datetime, faults: Faults, allowed: Mapping[str, bool]
    ) -> None:
        """Read what hardly moves; where a part fails the older one stays until all have been read again."""
        before = faults.count
        await self._read_expiry(coder, faults)
        await self._read_licence(coder, faults)
        await self._read_users(coder, faults, allowed)
        if faults.count == before:
            self.state.read_at = now

    async def _read_expiry(self, coder: Coder, faults: Faults) -> None:
        try:
            expiry = await coder.token_expiry()
        except (Forbidden, NotPermitted, RouteMissing):
            # A token of narrow scope may not list tokens, not even itself.
            expiry = None
        except ExporterError as error:
            faults.note(error, subject="token")
            return
        self._telemetry.token_expiry(expiry)

    async def _read_licence(self, coder: Coder, faults: Faults) -> None:
        try:
            self.state.license_user_limit = (await coder.entitlements()).user_limit
        except RouteMissing:
            # The open-source edition has no licence.
            self.state.license_user_limit = None
        except ExporterError as error:
            faults.note(error, subject="licence")

    async def _read_users(self, coder: Coder, faults: Faults, allowed: Mapping[str, bool]) -> None:
        if coder.lacks(Feature.USER_STATUS_COUNTS) or not allowed.get("users", False):
            # What is not permitted is told as a permission already.
            self.state.users = {}
            return
        try:
            self.state.users = _newest(await coder.user_status_counts())
        except (Forbidden, NotPermitted, RouteMissing):
            self.state.users = {}
        except ExporterError as error:
            faults.note(error, subject="users")


def _newest(counts: Mapping[str, Sequence[responses.StatusCount]]) -> dict[str, int]:
    """Return the newest count of each status; statuses that nobody has are 0."""
    long_ago = datetime.min.replace(tzinfo=UTC)
    newest = max((one.date for rows in counts.values() for one in rows), default=long_ago)
    users = dict.fromkeys(STATUSES, 0)
    for status, rows in counts.items():
        users[status] = sum(one.count for one in rows if one.date == newest)
    return users
