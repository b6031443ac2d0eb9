"""Collector of the deployment: version, users by status, licence, permissions and expiry of the token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from insights_exporter.coder.models import PERMISSION_CHECKS
from insights_exporter.collectors.base import (
    CachedList,
    CoderApi,
    CollectResult,
    ErrorReporter,
    ReportedErrors,
    is_refresh_due,
)
from insights_exporter.config.settings import PollSettings
from insights_exporter.errors import ExporterError, Forbidden, NotFoundOrForbidden, UnsupportedEndpoint
from insights_exporter.snapshot import Deployment
from insights_exporter.telemetry import Telemetry

__all__ = ["DeploymentCollector", "DeploymentState"]

USER_STATUSES: Final = ("active", "dormant", "suspended")

LICENSE_FEATURES: Final = (
    "user_limit",
    "ai_governance_user_limit",
    "managed_agent_limit",
    "agent_runtime_hours",
)
"""Features of a licence that are metered; the others are switches."""


@dataclass(slots=True)
class DeploymentState:
    """State that survives a reload: the last data and the reported errors."""

    users: CachedList[tuple[str, int]] = field(default_factory=CachedList[tuple[str, int]])
    """Status and number of users."""
    license_limits: Mapping[str, float] = field(default_factory=dict)
    license_used: Mapping[str, float] = field(default_factory=dict)
    fetched_at: datetime | None = None
    """When the token and the licence were last read without an error."""
    reported_errors: ReportedErrors = field(default_factory=ReportedErrors)


class DeploymentCollector:
    """Collects data about the deployment and the token."""

    name = "deployment"

    def __init__(
        self, *, poll: PollSettings, telemetry: Telemetry, state: DeploymentState | None = None
    ) -> None:
        self._poll = poll
        self._telemetry = telemetry
        self.state = state if state is not None else DeploymentState()

    async def collect(self, coder: CoderApi, *, now: datetime) -> CollectResult[Deployment]:
        """Return the deployment's data.

        Raises an ExporterError if Coder does not answer or rejects the token.
        """
        reporter = ErrorReporter(self.name, telemetry=self._telemetry, reported=self.state.reported_errors)
        try:
            build_info = await coder.build_info()
            permissions = await coder.authcheck(PERMISSION_CHECKS)
            for key, check in PERMISSION_CHECKS.items():
                granted = permissions.get(key, False)
                self._telemetry.permission_checked(check.resource_type, check.action, granted=granted)
            await self._fetch_user_counts(coder, now, reporter, permissions)
            last_fetched_at = self.state.fetched_at
            if last_fetched_at is None or is_refresh_due(
                "deployment", last_refresh=last_fetched_at, now=now, interval=self._poll.refresh_interval
            ):
                await self._fetch_slow_data(coder, now, reporter)
        finally:
            reporter.finish()
        deployment = Deployment(
            version=build_info.version,
            dashboard_url=build_info.dashboard_url or build_info.external_url,
            deployment_id=build_info.deployment_id,
            users=dict(self.state.users.rows),
            license_limits=self.state.license_limits,
            license_used=self.state.license_used,
        )
        return CollectResult(deployment, reporter.error_count)

    async def _fetch_slow_data(self, coder: CoderApi, now: datetime, reporter: ErrorReporter) -> None:
        """Read the token's expiry and the licence; after an error both are read again at the next poll."""
        errors_before = reporter.error_count
        await self._fetch_token_expiry(coder, reporter)
        await self._fetch_license(coder, reporter)
        if reporter.error_count == errors_before:
            self.state.fetched_at = now

    async def _fetch_token_expiry(self, coder: CoderApi, reporter: ErrorReporter) -> None:
        try:
            expiry = await coder.token_expiry()
        except (Forbidden, NotFoundOrForbidden, UnsupportedEndpoint):
            # A token with a narrow scope may not list tokens.
            expiry = None
        except ExporterError as error:
            reporter.report(error, resource="token")
            return
        self._telemetry.token_expiry_updated(expiry)

    async def _fetch_license(self, coder: CoderApi, reporter: ErrorReporter) -> None:
        try:
            entitlements = (await coder.entitlements()).features
        except UnsupportedEndpoint:
            # The open-source build has no licence.
            entitlements = {}
        except ExporterError as error:
            reporter.report(error, resource="licence")
            return
        # Without a licence Coder reports a use that may be outdated.
        features = {
            name: entitlements[name]
            for name in LICENSE_FEATURES
            if name in entitlements and entitlements[name].enabled
        }
        self.state.license_limits = {
            name: feature.limit for name, feature in features.items() if feature.limit is not None
        }
        self.state.license_used = {
            name: feature.actual for name, feature in features.items() if feature.actual is not None
        }

    async def _fetch_user_counts(
        self, coder: CoderApi, now: datetime, reporter: ErrorReporter, permissions: Mapping[str, bool]
    ) -> None:
        """Count users by status hourly; after an error the last counts stay until ``max_staleness``."""

        async def fetch() -> Sequence[tuple[str, int]]:
            try:
                return [(status, await coder.user_count(status)) for status in USER_STATUSES]
            except (Forbidden, NotFoundOrForbidden):
                return ()

        if not permissions.get("users", False):
            # The permission metric already shows the missing permission.
            self.state.users = CachedList()
            return
        await self.state.users.refresh_hourly(fetch, now, reporter, resource="user counts", poll=self._poll)
