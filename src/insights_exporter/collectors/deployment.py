"""The deployment as a whole: version, users by status, licence; and what the token may do, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from insights_exporter.coder import models
from insights_exporter.coder.authorization import PERMISSION_CHECKS
from insights_exporter.coder.versions import Feature
from insights_exporter.collectors.base import CoderApi
from insights_exporter.collectors.cadence import is_refresh_due
from insights_exporter.collectors.collected import CollectResult
from insights_exporter.collectors.faults import ErrorReporter, ReportedErrors
from insights_exporter.config.settings import PollSettings
from insights_exporter.errors import ExporterError, Forbidden, NotFoundOrForbidden, UnsupportedEndpoint
from insights_exporter.snapshot import Deployment
from insights_exporter.telemetry import Telemetry

__all__ = ["DeploymentCollector", "DeploymentState"]

USER_STATUSES = ("active", "dormant", "suspended")


@dataclass(slots=True)
class DeploymentState:
    """What must outlive a poll: numbers that hardly move, and what was told."""

    users: Mapping[str, int] = field(default_factory=dict)
    license_user_limit: int | None = None
    fetched_at: datetime | None = None
    """When users and licence were last read without a fault."""
    reported_errors: ReportedErrors = field(default_factory=ReportedErrors)


class DeploymentCollector:
    """Asks about the deployment and about the token."""

    name = "deployment"

    def __init__(
        self, *, poll: PollSettings, telemetry: Telemetry, state: DeploymentState | None = None
    ) -> None:
        self._poll = poll
        self._telemetry = telemetry
        self.state = state if state is not None else DeploymentState()

    async def collect(self, coder: CoderApi, *, now: datetime) -> CollectResult[Deployment]:
        """Return what is known of the deployment.

        Raises an ExporterError where Coder does not answer or does not accept the token.
        """
        reporter = ErrorReporter(self.name, telemetry=self._telemetry, reported=self.state.reported_errors)
        try:
            build_info = await coder.build_info()
            permissions = await coder.authcheck(PERMISSION_CHECKS)
            for key, check in PERMISSION_CHECKS.items():
                granted = permissions.get(key, False)
                self._telemetry.permission_checked(check.resource_type, check.action, granted=granted)
            last_fetched_at = self.state.fetched_at
            if last_fetched_at is None or is_refresh_due(
                "deployment", last_refresh=last_fetched_at, now=now, interval=self._poll.refresh_interval
            ):
                await self._fetch_slow_data(coder, now, reporter, permissions)
        finally:
            reporter.finish()
        deployment = Deployment(
            version=build_info.version,
            dashboard_url=build_info.dashboard_url or build_info.external_url,
            deployment_id=build_info.deployment_id,
            users=self.state.users,
            license_user_limit=self.state.license_user_limit,
        )
        return CollectResult(deployment, reporter.error_count)

    async def _fetch_slow_data(
        self, coder: CoderApi, now: datetime, reporter: ErrorReporter, permissions: Mapping[str, bool]
    ) -> None:
        """Read what hardly moves; where a part fails the older one stays until all have been read again."""
        errors_before = reporter.error_count
        await self._fetch_token_expiry(coder, reporter)
        await self._fetch_license(coder, reporter)
        await self._fetch_user_counts(coder, reporter, permissions)
        if reporter.error_count == errors_before:
            self.state.fetched_at = now

    async def _fetch_token_expiry(self, coder: CoderApi, reporter: ErrorReporter) -> None:
        try:
            expiry = await coder.token_expiry()
        except (Forbidden, NotFoundOrForbidden, UnsupportedEndpoint):
            # A token of narrow scope may not list tokens, not even itself.
            expiry = None
        except ExporterError as error:
            reporter.report(error, resource="token")
            return
        self._telemetry.token_expiry_updated(expiry)

    async def _fetch_license(self, coder: CoderApi, reporter: ErrorReporter) -> None:
        try:
            self.state.license_user_limit = (await coder.entitlements()).user_limit
        except UnsupportedEndpoint:
            # The open-source edition has no licence.
            self.state.license_user_limit = None
        except ExporterError as error:
            reporter.report(error, resource="licence")

    async def _fetch_user_counts(
        self, coder: CoderApi, reporter: ErrorReporter, permissions: Mapping[str, bool]
    ) -> None:
        if coder.is_unsupported(Feature.USER_STATUS_COUNTS) or not permissions.get("users", False):
            # What is not permitted is told as a permission already.
            self.state.users = {}
            return
        try:
            self.state.users = _latest_status_counts(await coder.user_status_counts())
        except (Forbidden, NotFoundOrForbidden, UnsupportedEndpoint):
            self.state.users = {}
        except ExporterError as error:
            reporter.report(error, resource="users")


def _latest_status_counts(counts: Mapping[str, Sequence[models.StatusCount]]) -> dict[str, int]:
    """Return the newest count of each status; statuses that nobody has are 0."""
    earliest = datetime.min.replace(tzinfo=UTC)
    latest = max((row.date for rows in counts.values() for row in rows), default=earliest)
    users = dict.fromkeys(USER_STATUSES, 0)
    for status, rows in counts.items():
        users[status] = sum(row.count for row in rows if row.date == latest)
    return users
