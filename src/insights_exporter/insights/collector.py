"""The insights collector: active users, apps, parameters, seconds and latency of templates, and totals.

Each poll requests the deployment first. Its user activity shows which templates were used, and by how many
users. Idle templates cost no request. The other templates are requested for the ranges that may have changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from insights_exporter.clock import Clock
from insights_exporter.coder import time_ranges
from insights_exporter.coder.versions import Feature
from insights_exporter.collectors.base import (
    CollectResult,
    ErrorReporter,
    InsightsApi,
)
from insights_exporter.config.settings import InsightsSettings, PollSettings
from insights_exporter.errors import InsightsDisabled
from insights_exporter.insights.budget import ApiTimeBudget, PollBudget
from insights_exporter.insights.fetcher import InsightsFetcher
from insights_exporter.insights.poll import InsightsPoll
from insights_exporter.insights.query_plan import QueryPlan, Stage, build_plan
from insights_exporter.insights.reports import AppMetadata, merge_apps
from insights_exporter.insights.template_state import InsightsState, TemplateState
from insights_exporter.insights.totals import AnchoredTotals
from insights_exporter.insights.usage import UsageBuilder
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import (
    Insights,
    Inventory,
    Parameter,
    Template,
    TemplateKey,
    TemplateUsage,
    User,
)
from insights_exporter.telemetry import Telemetry

__all__ = ["InsightsCollector", "InsightsState"]

EARLY_PUBLISH_AFTER: Final = 5.0
"""Seconds of a first poll after which its first data is published early; a faster poll is published once."""

OnPartial = Callable[[Insights], Awaitable[None]]


class InsightsCollector:
    """Collects template insights."""

    name = "insights"

    def __init__(  # noqa: PLR0913  # All but the settings are keywords.
        self,
        settings: InsightsSettings,
        *,
        poll: PollSettings,
        filters: Filters,
        telemetry: Telemetry,
        state: InsightsState | None = None,
        clock: Clock | None = None,
        api_time: ApiTimeBudget | None = None,
    ) -> None:
        self._settings = settings
        self._api_time = api_time or ApiTimeBudget.create(poll)
        self._poll = poll
        self._filters = filters
        self._user_filter = None if filters.allows_all_users else filters.allows_user
        self._telemetry = telemetry
        self._clock = clock
        self.state = state if state is not None else InsightsState()

    async def collect(
        self,
        coder: InsightsApi,
        *,
        now: datetime,
        inventory: Inventory | None,
        on_partial: OnPartial | None = None,
        started_at: float | None = None,
    ) -> CollectResult[Insights]:
        """Return the usage of the inventory's templates and of the deployment.

        ``now`` is the server's time. While the exporter warms up, ``on_partial`` receives the data of today,
        first that of the deployment, and then that of windows up to seven days. ``started_at`` is when the
        poll started on the monotonic clock; by default it starts now. Raises an ExporterError if no request
        succeeded.
        """
        reporter = ErrorReporter(self.name, telemetry=self._telemetry, reported=self.state.reported_errors)
        known_inventory = inventory or Inventory()
        self._update_usernames(known_inventory.users)
        plan = build_plan(self._settings, now)
        self._update_states(plan, known_inventory)
        poll = InsightsPoll(
            plan,
            self._fetcher(coder, reporter),
            self.state,
            refresh_interval=self._poll.refresh_interval,
        )
        published_at = self._monotonic() if started_at is None else started_at
        try:
            insights = await self._collect(coder, poll, known_inventory, on_partial, published_at)
        except InsightsDisabled:
            insights = Insights(deployment=TemplateUsage(None), collection_enabled=False)
        finally:
            reporter.finish()
        return CollectResult(insights, reporter.error_count)

    def with_current_usernames(self, inventory: Inventory) -> Inventory:
        """Return the inventory with the newest usernames; the same object if none changed.

        The account list is read once an hour. The insights responses of each poll contain newer usernames.
        """
        username_of = self.state.usernames.username
        users = inventory.users
        if all(user.username == username_of(user.id) for user in users):
            return inventory
        renamed = [msgspec.structs.replace(user, username=username_of(user.id)) for user in users]
        return replace(inventory, users=tuple(renamed))

    def _update_usernames(self, accounts: Sequence[User]) -> None:
        # Take each list once. Responses since then may contain newer usernames.
        if accounts is not self.state.last_accounts:
            self.state.last_accounts = accounts
            self.state.usernames.update({account.id: account.username for account in accounts})

    async def _collect(
        self,
        coder: InsightsApi,
        poll: InsightsPoll,
        inventory: Inventory,
        on_partial: OnPartial | None,
        published_at: float,
    ) -> Insights:
        async def publish_early() -> None:
            nonlocal published_at
            if on_partial is not None and self._is_slow_start(poll, published_at):
                await on_partial(await self._build(coder, poll, inventory))
                published_at = self._monotonic()

        for stage in Stage:
            await poll.fetch_deployment(stage)
            if stage is Stage.TODAY:
                await publish_early()
            await poll.fetch_templates(stage)
            if stage in {Stage.TODAY, Stage.RECENT}:
                await publish_early()
        await poll.fetch_failed_templates()
        self._detect_coder_start(coder, poll)
        poll.fetcher.record_failures(self.state.last_failed_at, poll.plan.now)
        poll.fetcher.raise_if_failed()
        self.state.fetched_at = poll.plan.now
        self.state.is_warm = self.state.is_warm or not poll.fetcher.postponed_first
        for state in (self.state.deployment, *self.state.templates.values()):
            state.prune(poll.plan, max_age=self._poll.max_staleness)
        return await self._build(coder, poll, inventory)

    def _fetcher(self, coder: InsightsApi, reporter: ErrorReporter) -> InsightsFetcher:
        self._api_time.fill(self._monotonic(), is_warm=self.state.is_warm)
        return InsightsFetcher(
            coder,
            reporter=reporter,
            usernames=self.state.usernames,
            budget=PollBudget.create(self._poll, self._api_time, self._monotonic),
        )

    def _monotonic(self) -> float:
        return 0.0 if self._clock is None else self._clock.monotonic()

    def _is_slow_start(self, poll: InsightsPoll, published_at: float) -> bool:
        """Return whether the first data is worth publishing before the rest of the first poll."""
        elapsed = self._monotonic() - published_at
        is_usable = poll.fetcher.response_count > 0 and not poll.fetcher.is_aborted
        return not self.state.is_warm and is_usable and elapsed >= EARLY_PUBLISH_AFTER

    def _detect_coder_start(self, coder: InsightsApi, poll: InsightsPoll) -> None:
        """Record a start of Coder: its version changed, or it answers again after a failed poll."""
        version = None if coder.version is None else str(coder.version)
        is_restarted = self.state.was_server_down and poll.fetcher.response_count > 0
        is_upgraded = self.state.server_version is not None and version != self.state.server_version
        if is_restarted or is_upgraded:
            self.state.coder_started_at = poll.plan.now
        self.state.was_server_down = poll.fetcher.found_server_down
        self.state.server_version = version or self.state.server_version

    # State

    def _update_states(self, plan: QueryPlan, inventory: Inventory) -> None:
        """Create the states of new templates, and mark those that a complete list no longer contains."""
        self.state.deployment = self._get_or_create_state(self.state.deployment, plan)
        states = self.state.templates
        for template in inventory.templates:
            states[template.id] = self._get_or_create_state(states.get(template.id), plan, template)
        listed = {template.id for template in inventory.templates}
        for template_id, state in list(states.items()):
            if template_id in listed:
                state.missing_since = None
                continue
            if inventory.templates_complete and state.missing_since is None:
                state.missing_since = plan.now
            if state.anchored_totals.since != _anchored_at(plan):
                # The anchor moved while the template was gone: there is no total to continue.
                del states[template_id]

    def _get_or_create_state(
        self, previous: TemplateState | None, plan: QueryPlan, template: Template | None = None
    ) -> TemplateState:
        """Return the state of a template or of the deployment; totals start anew when the anchor moved."""
        state, anchored_at = previous, _anchored_at(plan)
        if state is None or state.anchored_totals.since != anchored_at:
            last_fetched_at = self.state.fetched_at
            created_at = template.created_at if template is not None else None
            created_after_start = (
                previous is None
                and last_fetched_at is not None
                and created_at is not None
                and created_at > last_fetched_at
            )
            totals = AnchoredTotals(plan.anchor, anchored_at, created_after_start=created_after_start)
            if state is None:
                state = TemplateState(template.id if template is not None else None, totals)
            state.anchored_totals, state.history_read_at = totals, None
        state.close_day(plan)
        if template is not None:
            state.key = template.key
        return state

    def _is_served(self, state: TemplateState, plan: QueryPlan, listed: frozenset[TemplateKey]) -> bool:
        """Return whether a template without a list entry is still exported."""
        missing_since = state.missing_since
        return (
            state.key is not None
            and state.key not in listed
            and self._filters.allows_template(state.key)
            and (
                missing_since is None
                or (plan.now - missing_since).total_seconds() <= self._poll.max_staleness
            )
        )

    # Usage

    async def _build(self, coder: InsightsApi, poll: InsightsPoll, inventory: Inventory) -> Insights:
        plan = poll.plan
        apps = _apps_by_template(inventory)
        builder = UsageBuilder(
            plan=plan,
            usernames=self.state.usernames,
            user_filter=self._user_filter,
            on_clamped=self._telemetry.counters_corrected,
            max_staleness=self._poll.max_staleness,
            is_warm=self.state.is_warm,
        )
        deployment = builder.build(
            poll.deployment, poll.detector(poll.deployment), apps=merge_apps(apps.values())
        )
        if not poll.deployment_allowed:
            # The account cannot read deployment-wide insights: no totals are expected.
            builder.pending.clear()
        usages = []
        for state, parameters in self._served_states(plan, inventory):
            # Yield to other tasks between two templates.
            await asyncio.sleep(0)
            detector = poll.detector(state)
            usage = builder.build(
                state,
                detector,
                apps={} if state.key is None else apps.get(state.key, {}),
                parameters=parameters,
            )
            if state.denied_at is not None and not usage.windows and usage.totals is None:
                builder.pending.pop(state.key, None)
                continue
            usages.append(usage)
        return Insights(
            deployment=deployment,
            templates=tuple(usages),
            today=plan.today.start.date(),
            collection_enabled=None if coder.is_unsupported(Feature.INSIGHTS_SWITCH) else True,
            pending_totals=builder.pending,
            warm_up_ratio=1.0 if self.state.is_warm else poll.answered_ratio(),
            postponed_requests=poll.fetcher.postponed,
            windows_updated_at=builder.updated_at,
        )

    def _served_states(
        self, plan: QueryPlan, inventory: Inventory
    ) -> list[tuple[TemplateState, Sequence[Parameter]]]:
        """Return the states of listed templates, then of those that left the list a short time ago."""
        states = self.state.templates
        served: list[tuple[TemplateState, Sequence[Parameter]]] = [
            (states[template.id], template.parameters) for template in inventory.templates
        ]
        listed_keys = frozenset(template.key for template in inventory.templates)
        listed_ids = {template.id for template in inventory.templates}
        served += [
            (state, ())
            for template_id, state in states.items()
            if template_id not in listed_ids and self._is_served(state, plan, listed_keys)
        ]
        return served


def _anchored_at(plan: QueryPlan) -> datetime:
    return time_ranges.full_day(plan.anchor, plan.utc_offset).start.astimezone(UTC)


def _apps_by_template(inventory: Inventory) -> dict[TemplateKey, AppMetadata]:
    """Return the apps of the agents by template. External apps are links without usage."""
    apps_by_template: dict[TemplateKey, list[AppMetadata]] = {}
    for workspace in inventory.workspaces:
        apps = apps_by_template.setdefault(workspace.key, [])
        for agent in workspace.agents:
            apps += (
                {(app.slug, "app"): (app.display_name, app.icon)} for app in agent.apps if not app.external
            )
    return {key: merge_apps(apps) for key, apps in apps_by_template.items()}
