"""Collector of the inventory: templates, users, groups, and workspaces with agents and apps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from insights_exporter.coder import models
from insights_exporter.coder.models import none_if_zero_time
from insights_exporter.collectors.base import (
    FATAL_ERRORS,
    CachedList,
    CoderApi,
    CollectResult,
    ErrorReporter,
    ReportedErrors,
    is_expired,
    is_refresh_due,
    merge_options,
    run_limited,
)
from insights_exporter.collectors.groups import GroupCollector, GroupState
from insights_exporter.config.settings import PollSettings
from insights_exporter.config.teams import Team
from insights_exporter.errors import ExporterError, Forbidden, NotFoundOrForbidden, UnsupportedEndpoint
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import (
    Agent,
    App,
    BuildDuration,
    Inventory,
    Parameter,
    Template,
    TemplateKey,
    User,
    Workspace,
)
from insights_exporter.telemetry import Telemetry

__all__ = ["InventoryCollector", "InventoryState", "merge_parameters", "select_templates"]

BATCH_SIZE = 250
"""The number of workspaces that are converted before other tasks of the event loop run."""

BUILD_STATUSES: Final = ("pending", "building", "running", "failed", "stopped")
"""Fields of the deployment's counts of workspaces."""

EARLY_REFRESH_SHARE: Final = 0.01
"""Share of the workspaces whose build status must change for an early refresh of the list.

On a large deployment single workspaces start and stop all the time. A list of fewer than 100 workspaces is
cheap and refreshed after every change.
"""


@dataclass(frozen=True, slots=True)
class WorkspaceInputs:
    """Template keys and usernames by id, and the server's version, which marks agents as outdated."""

    template_keys: Mapping[str, TemplateKey]
    usernames: Mapping[str, str]
    server_version: str


@dataclass(slots=True)
class InventoryState:
    """State that survives a reload: lists, parameters by version, and the reported errors."""

    users: CachedList[User] = field(default_factory=CachedList[User])
    workspaces: CachedList[Workspace] = field(default_factory=CachedList[Workspace])
    workspace_inputs: WorkspaceInputs | None = None
    """The inputs of the cached workspaces besides the rows of the list."""
    groups: GroupState = field(default_factory=GroupState)
    status_counts: Mapping[str, int] | None = None
    """Workspaces of the deployment by build status when the list was fetched; None if unknown."""
    status_counts_denied_at: datetime | None = None
    """When Coder last refused the counts."""
    parameters_by_version: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)
    """Declared parameters by version id; a version is immutable."""
    version_by_template: dict[str, str] = field(default_factory=dict)
    """The newest version with known parameters, by template id."""
    reported_errors: ReportedErrors = field(default_factory=ReportedErrors)


class InventoryCollector:
    """Collects templates, users, workspaces and groups."""

    name = "inventory"

    def __init__(
        self,
        *,
        poll: PollSettings,
        filters: Filters,
        telemetry: Telemetry,
        state: InventoryState | None = None,
        teams: Sequence[Team] = (),
    ) -> None:
        self._poll = poll
        self._filters = filters
        self._telemetry = telemetry
        self.state = state if state is not None else InventoryState()
        self._groups = GroupCollector(poll=poll, filters=filters, teams=teams, state=self.state.groups)

    async def collect(self, coder: CoderApi, *, now: datetime) -> CollectResult[Inventory]:
        """Return the inventory that the token may read.

        Raises an ExporterError if the templates cannot be read.
        """
        reporter = ErrorReporter(self.name, telemetry=self._telemetry, reported=self.state.reported_errors)
        try:
            rows = await coder.templates()
            template_rows = select_templates(rows, self._filters)
            await self._fetch_parameters(coder, template_rows, reporter)
            templates = tuple(self._template(row, key) for key, row in template_rows.items())
            users = await self._fetch_users(coder, now, reporter)
            workspaces = await self._fetch_workspaces(coder, now, reporter, template_rows, users)
            groups = await self._groups.collect(coder, users, now=now, reporter=reporter)
        finally:
            reporter.finish()
        inventory = Inventory(templates, workspaces, users, groups, templates_complete=not rows.dropped)
        return CollectResult(inventory, reporter.error_count)

    # Templates

    async def _fetch_parameters(
        self, coder: CoderApi, template_rows: dict[TemplateKey, models.Template], reporter: ErrorReporter
    ) -> None:
        """Fetch the parameters of new versions and drop those of versions no longer in use."""
        parameters_by_version, version_by_template = (
            self.state.parameters_by_version,
            self.state.version_by_template,
        )
        fatal_errors: list[ExporterError] = []

        async def fetch(key: TemplateKey, version_id: str) -> None:
            if fatal_errors:
                return
            try:
                rows = await coder.rich_parameters(version_id)
            except FATAL_ERRORS as error:
                fatal_errors.append(error)
            except ExporterError as error:
                reporter.report(error, resource="/".join(key))
            else:
                # An incomplete response is not kept for the version; the next poll requests it again.
                if not rows.dropped:
                    parameters_by_version[version_id] = merge_parameters(rows)

        new_versions = {
            row.active_version_id: key
            for key, row in template_rows.items()
            if row.active_version_id and row.active_version_id not in parameters_by_version
        }
        await run_limited(partial(fetch, key, version) for version, key in new_versions.items())
        for error in fatal_errors[:1]:
            reporter.report(error)
        version_by_template.update(
            (row.id, row.active_version_id)
            for row in template_rows.values()
            if row.active_version_id in parameters_by_version
        )
        template_ids = {row.id for row in template_rows.values()}
        self.state.version_by_template = {
            row: version for row, version in version_by_template.items() if row in template_ids
        }
        active_versions = set(self.state.version_by_template.values())
        self.state.parameters_by_version = {
            version: parameters
            for version, parameters in parameters_by_version.items()
            if version in active_versions
        }

    def _template(self, row: models.Template, key: TemplateKey) -> Template:
        return Template(
            id=row.id,
            key=key,
            display_name=row.display_name,
            icon=row.icon,
            created_at=_to_utc(none_if_zero_time(row.created_at)),
            deprecated=row.deprecated,
            build_durations={
                transition: BuildDuration(build_time.p50_seconds, build_time.p95_seconds)
                for transition, build_time in row.build_time_stats.items()
            },
            parameters=self.state.parameters_by_version.get(
                self.state.version_by_template.get(row.id, ""), ()
            ),
        )

    # Users and workspaces

    async def _fetch_users(self, coder: CoderApi, now: datetime, reporter: ErrorReporter) -> Sequence[User]:
        async def fetch() -> Sequence[User]:
            return tuple(
                _account(row) for row in await coder.users() if self._filters.allows_user(row.username)
            )

        return await self.state.users.refresh_hourly(fetch, now, reporter, resource="users", poll=self._poll)

    async def _fetch_workspaces(
        self,
        coder: CoderApi,
        now: datetime,
        reporter: ErrorReporter,
        template_rows: dict[TemplateKey, models.Template],
        users: Sequence[User],
    ) -> Sequence[Workspace]:
        """Return the workspaces; the list is read every few polls, and earlier after a larger change."""
        state, cached = self.state, self.state.workspaces
        template_keys = {row.id: key for key, row in template_rows.items()}
        usernames = {user.id: user.username for user in users}
        inputs = WorkspaceInputs(template_keys, usernames, str(coder.version or ""))
        counts = await self._fetch_status_counts(coder, now)
        if (
            inputs == state.workspace_inputs
            and not self._are_workspaces_due(now)
            and not _has_changed(state.status_counts, counts)
        ):
            cached.validated_at = now
            return cached.rows

        async def fetch() -> Sequence[Workspace]:
            workspaces = []
            for index, row in enumerate(await coder.workspaces()):
                if index % BATCH_SIZE == 0:
                    await asyncio.sleep(0)
                organization = row.organization_name or row.organization_id
                key = inputs.template_keys.get(row.template_id) or TemplateKey(
                    organization, row.template_name
                )
                if self._filters.allows_template(key):
                    workspaces.append(_workspace(row, key, inputs.server_version))
            return tuple(workspaces)

        rows = await cached.refresh(
            fetch, now, reporter, resource="workspaces", max_staleness=self._poll.max_staleness
        )
        if cached.fetched_at == now:
            state.workspace_inputs, state.status_counts = inputs, counts
        return rows

    def _are_workspaces_due(self, now: datetime) -> bool:
        polls, last_refresh = self._poll.workspaces_every, self.state.workspaces.fetched_at
        return (
            polls == 1
            or last_refresh is None
            or is_refresh_due(
                "workspaces", last_refresh=last_refresh, now=now, interval=polls * self._poll.interval
            )
        )

    async def _fetch_status_counts(self, coder: CoderApi, now: datetime) -> Mapping[str, int] | None:
        """Return the deployment's workspaces by build status, which coderd caches; None if unknown.

        The counts only save time, so errors are ignored. Tokens with fine-grained scopes cannot read them.
        """
        state, interval = self.state, self._poll.refresh_interval
        if self._poll.workspaces_every == 1:
            return None
        if not is_expired(state.status_counts_denied_at, now=now, max_age=interval):
            return None
        try:
            stats = (await coder.deployment_stats()).workspaces
        except (Forbidden, NotFoundOrForbidden, UnsupportedEndpoint):
            state.status_counts_denied_at = now
            return None
        except ExporterError:
            return None
        return {status: getattr(stats, status) or 0 for status in BUILD_STATUSES}


def _has_changed(before: Mapping[str, int] | None, after: Mapping[str, int] | None) -> bool:
    """Return whether enough workspaces changed their build status; False if a count is unknown."""
    if before is None or after is None:
        return False
    deltas = [after[status] - count for status, count in before.items()]
    # A started workspace is one more that runs and one less that is stopped.
    changed = max(sum(delta for delta in deltas if delta > 0), -sum(delta for delta in deltas if delta < 0))
    return changed > EARLY_REFRESH_SHARE * sum(before.values())


def select_templates(rows: Iterable[models.Template], filters: Filters) -> dict[TemplateKey, models.Template]:
    """Return the exported templates; of two with the same name the newer one wins."""
    selected: dict[TemplateKey, models.Template] = {}
    for row in sorted(rows, key=_creation_order, reverse=True):
        key = TemplateKey(row.organization_name or row.organization_id, row.name)
        if key not in selected and filters.allows_template(key):
            selected[key] = row
    return dict(sorted(selected.items()))


def _creation_order(row: models.Template) -> tuple[float, str]:
    created_at = none_if_zero_time(row.created_at)
    return (created_at.timestamp() if created_at is not None else 0.0, row.id)


def _to_utc(timestamp: datetime | None) -> datetime | None:
    return None if timestamp is None else timestamp.astimezone(UTC)


def merge_parameters(rows: Iterable[models.RichParameter]) -> tuple[Parameter, ...]:
    """Return each parameter once, with the options of all its declarations."""
    by_name: dict[str, Parameter] = {}
    for row in rows:
        existing = by_name.get(row.name)
        options = merge_options(existing.options if existing is not None else (), row.options)
        declaration = existing or Parameter(row.name, row.type, row.display_name, row.default_value)
        by_name[row.name] = Parameter(
            declaration.name,
            declaration.type,
            declaration.display_name,
            declaration.default,
            options,
        )
    return tuple(by_name.values())


def _account(row: models.User) -> User:
    return User(
        id=row.id,
        username=row.username,
        display_name=row.name,
        avatar_url=row.avatar_url,
        status=row.status,
        last_seen=_to_utc(row.last_seen),
        created_at=_to_utc(none_if_zero_time(row.created_at)),
        is_service_account=row.is_service_account,
    )


def _workspace(row: models.Workspace, key: TemplateKey, server_version: str) -> Workspace:
    return Workspace(
        id=row.id,
        name=row.name,
        owner=row.owner_name,
        key=key,
        status=row.latest_build.status,
        outdated=row.outdated,
        last_used=_to_utc(row.last_used),
        agents=tuple(_agent(agent, server_version) for agent in row.agents),
        is_prebuild=row.is_prebuild,
        is_dormant=none_if_zero_time(row.dormant_at) is not None,
        deleting_at=_to_utc(none_if_zero_time(row.deleting_at)),
        has_autostop=none_if_zero_time(row.latest_build.deadline) is not None,
        daily_cost=row.latest_build.daily_cost,
        transition=row.latest_build.transition,
        job_status=row.latest_build.job.status,
    )


def _agent(row: models.Agent, server_version: str) -> Agent:
    preferred_relays = (
        (name, region.seconds) for name, region in sorted(row.latency.items()) if region.preferred
    )
    region, latency = next(preferred_relays, ("", None))
    return Agent(
        id=row.id,
        name=row.name,
        status=row.status,
        version=row.version,
        outdated=bool(server_version and row.version) and row.version != server_version,
        relay=region,
        relay_latency=latency,
        apps=tuple(App(app.slug, app.display_name, app.icon, app.health, app.external) for app in row.apps),
    )
