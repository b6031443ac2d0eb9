"""How templates are used: active users, apps, parameters, time and latency, and totals since the anchor.

The deployment is asked first, for its answers name the templates that were used in a range. The others are 0
without a question. A template is asked again only about ranges that can have moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from insights_exporter.coder import time_ranges
from insights_exporter.coder.versions import Feature
from insights_exporter.collectors.base import CoderApi
from insights_exporter.collectors.cadence import is_refresh_due
from insights_exporter.collectors.collected import CollectResult
from insights_exporter.collectors.errands import run_limited
from insights_exporter.collectors.faults import ErrorReporter, ReportedErrors
from insights_exporter.config.settings import InsightsSettings, PollSettings
from insights_exporter.errors import Forbidden, InsightsDisabled, NotFoundOrForbidden
from insights_exporter.filters import Filters
from insights_exporter.insights.change_detection import (
    ActiveTemplates,
    AlwaysActiveDetector,
    ChangeDetector,
    DeploymentReportDetector,
    TemplateReportDetector,
)
from insights_exporter.insights.fetcher import InsightsFetcher
from insights_exporter.insights.query_plan import InsightsEndpoint, QueryKey, QueryPlan, build_plan
from insights_exporter.insights.template_state import TemplateState
from insights_exporter.insights.totals import AnchoredTotals
from insights_exporter.insights.usage import UsageBuilder
from insights_exporter.insights.usernames import UsernameIndex
from insights_exporter.snapshot import Insights, Inventory, Template, TemplateKey, TemplateUsage, User
from insights_exporter.telemetry import Telemetry

__all__ = ["InsightsCollector", "InsightsState"]

NEVER = datetime.min.replace(tzinfo=UTC)

AppMetadata = dict[tuple[str, str], tuple[str, str]]


@dataclass(slots=True)
class InsightsState:
    """What must outlive a poll, and a change of settings: answers, totals, names, and what was told."""

    deployment: TemplateState | None = None
    templates: dict[str, TemplateState] = field(default_factory=dict)
    usernames: UsernameIndex = field(default_factory=UsernameIndex)
    """What user ids go by."""
    last_accounts: Sequence[User] = ()
    """The accounts whose names were taken last."""
    fetched_at: datetime | None = None
    """When templates were last asked for, on the server's clock."""
    reported_errors: ReportedErrors = field(default_factory=ReportedErrors)
    last_failed_at: dict[str | None, datetime] = field(default_factory=dict)
    """When subjects that have not answered since last failed to, as others may."""


class InsightsCollector:
    """Asks how templates are used."""

    name = "insights"

    def __init__(
        self,
        settings: InsightsSettings,
        *,
        poll: PollSettings,
        filters: Filters,
        telemetry: Telemetry,
        state: InsightsState | None = None,
    ) -> None:
        self._settings = settings
        self._poll = poll
        self._user_filter = None if filters.allows_all_users else filters.allows_user
        self._telemetry = telemetry
        self.state = state if state is not None else InsightsState()

    async def collect(
        self, coder: CoderApi, *, now: datetime, inventory: Inventory | None
    ) -> CollectResult[Insights]:
        """Return the use of all templates of the inventory, and of the deployment.

        ``now`` is the server's time. Raises an ExporterError where nothing at all could be read.
        """
        reporter = ErrorReporter(self.name, telemetry=self._telemetry, reported=self.state.reported_errors)
        known_inventory = inventory or Inventory()
        self._update_usernames(known_inventory.users)
        try:
            insights = await self._fetch_all(
                coder, build_plan(self._settings, now), known_inventory, reporter
            )
        except InsightsDisabled:
            insights = Insights(deployment=TemplateUsage(None), collection_enabled=False)
        finally:
            reporter.finish()
        return CollectResult(insights, reporter.error_count)

    def _update_usernames(self, accounts: Sequence[User]) -> None:
        # Only a fresh list: newer answers may know newer names than an old one.
        if accounts is not self.state.last_accounts:
            self.state.last_accounts = accounts
            self.state.usernames.update({account.id: account.username for account in accounts})

    # Asking

    async def _fetch_all(
        self, coder: CoderApi, plan: QueryPlan, inventory: Inventory, reporter: ErrorReporter
    ) -> Insights:
        fetcher = InsightsFetcher(
            coder, reporter=reporter, usernames=self.state.usernames, user_filter=self._user_filter
        )
        deployment_state = self.state.deployment = self._get_or_create_state(self.state.deployment, plan)
        self.state.templates = {
            template.id: self._get_or_create_state(self.state.templates.get(template.id), plan, template)
            for template in inventory.templates
        }
        template_states = self.state.templates
        deployment_allowed = await self._fetch_deployment(fetcher, plan, deployment_state)
        fetch: Callable[
            [InsightsFetcher, QueryPlan, TemplateState, ChangeDetector], Coroutine[None, None, None]
        ]
        if deployment_allowed:
            detectors, fetch = (
                _detectors_from_deployment(plan, deployment_state, template_states),
                self._fetch_template,
            )
        else:
            detectors, fetch = (
                _detectors_from_templates(plan, template_states),
                self._fetch_without_deployment,
            )
        # Who failed last comes last: a poll that gives up over them has asked the healthy ones before.
        ordered_ids = sorted(
            template_states, key=lambda known_id: self.state.last_failed_at.get(known_id, NEVER)
        )
        await run_limited(
            partial(fetch, fetcher, plan, template_states[template_id], detectors[template_id])
            for template_id in ordered_ids
        )
        fetcher.record_failures(self.state.last_failed_at, plan.now)
        fetcher.raise_if_failed()
        self.state.fetched_at = plan.now
        for state in (deployment_state, *template_states.values()):
            state.prune(plan, max_age=self._poll.max_staleness)
        apps = _apps_by_template(inventory)
        return Insights(
            deployment=self._build_deployment_usage(plan, apps, deployment_state)
            if deployment_allowed
            else TemplateUsage(None),
            templates=await self._build_template_usages(plan, inventory, apps, detectors),
            collection_enabled=None if coder.is_unsupported(Feature.INSIGHTS_SWITCH) else True,
        )

    async def _fetch_deployment(
        self, fetcher: InsightsFetcher, plan: QueryPlan, state: TemplateState
    ) -> bool:
        """Ask about the deployment; return False where only single templates may be asked for."""
        detector = AlwaysActiveDetector(plan)
        due_queries = state.due_queries(plan, detector, refresh_interval=self._poll.refresh_interval)
        error = await fetcher.fetch(state, due_queries[0], plan.now)
        if isinstance(error, NotFoundOrForbidden | Forbidden):
            state.response_cache.clear()
            return False
        await run_limited(partial(fetcher.fetch, state, query, plan.now) for query in due_queries[1:])
        state.settle_days(plan, detector)
        return True

    async def _fetch_template(
        self,
        fetcher: InsightsFetcher,
        plan: QueryPlan,
        state: TemplateState,
        detector: ChangeDetector,
        fetched_keys: frozenset[QueryKey] = frozenset(),
    ) -> None:
        """Ask whatever can have moved on a template."""
        state.denied_at = None
        for query in state.due_queries(
            plan, detector, refresh_interval=self._poll.refresh_interval, fetched_keys=fetched_keys
        ):
            error = await fetcher.fetch(state, query, plan.now)
            if isinstance(error, NotFoundOrForbidden):
                # It was deleted meanwhile; the next inventory will say so.
                return

    async def _fetch_without_deployment(
        self, fetcher: InsightsFetcher, plan: QueryPlan, state: TemplateState, detector: ChangeDetector
    ) -> None:
        """Ask on a template where the deployment does not tell what moves: its own open days do."""
        refresh_interval = self._poll.refresh_interval
        denied_at = state.denied_at
        if denied_at is not None and not is_refresh_due(
            state.label, last_refresh=denied_at, now=plan.now, interval=refresh_interval
        ):
            return
        unsettled_starts = {plan.today.start, *(day.start for day in plan.unsettled_days)}
        report_queries = [
            query
            for query in plan.queries
            if query.additive and query.key.endpoint is InsightsEndpoint.REPORT
        ]
        unsettled_queries = [query for query in report_queries if query.window.start in unsettled_starts]
        for query in unsettled_queries:
            error = await fetcher.fetch(state, query, plan.now)
            if isinstance(error, NotFoundOrForbidden | Forbidden):
                state.denied_at = plan.now
                return
        fetched_keys = frozenset(query.key for query in unsettled_queries)
        await self._fetch_template(fetcher, plan, state, detector, fetched_keys)

    # What is remembered

    def _get_or_create_state(
        self, previous: TemplateState | None, plan: QueryPlan, template: Template | None = None
    ) -> TemplateState:
        """Return what is remembered; totals begin anew when the anchor has moved."""
        anchored_at = time_ranges.full_day(plan.anchor, plan.utc_offset).start.astimezone(UTC)
        state = previous
        if state is None or state.anchored_totals.since != anchored_at:
            last_fetched_at, created_at = (
                self.state.fetched_at,
                template.created_at if template is not None else None,
            )
            created_after_start = (
                previous is None
                and last_fetched_at is not None
                and created_at is not None
                and created_at > last_fetched_at
            )
            anchored_totals = AnchoredTotals(
                plan.anchor, anchored_at, created_after_start=created_after_start
            )
            if state is None:
                state = TemplateState(template.id if template is not None else None, anchored_totals)
            state.anchored_totals = anchored_totals
        if template is not None:
            state.label = "/".join(template.key)
        return state

    # What it comes to

    def _usage_builder(self, plan: QueryPlan) -> UsageBuilder:
        return UsageBuilder(
            plan=plan,
            usernames=self.state.usernames,
            user_filter=self._user_filter,
            on_clamped=self._telemetry.counters_corrected,
            max_staleness=self._poll.max_staleness,
        )

    def _build_deployment_usage(
        self, plan: QueryPlan, apps: Mapping[TemplateKey, AppMetadata], state: TemplateState
    ) -> TemplateUsage:
        all_apps = _merge_apps(apps.values())
        return self._usage_builder(plan).build(state, AlwaysActiveDetector(plan), key=None, apps=all_apps)

    async def _build_template_usages(
        self,
        plan: QueryPlan,
        inventory: Inventory,
        apps: Mapping[TemplateKey, AppMetadata],
        detectors: Mapping[str, ChangeDetector],
    ) -> tuple[TemplateUsage, ...]:
        builder, usages = self._usage_builder(plan), []
        for template in inventory.templates:
            # Others have their turn between two templates.
            await asyncio.sleep(0)
            state = self.state.templates[template.id]
            if state.denied_at is None:
                usage = builder.build(
                    state,
                    detectors[template.id],
                    key=template.key,
                    apps=apps.get(template.key, {}),
                    parameters=template.parameters,
                )
                usages.append(usage)
        return tuple(usages)


def _detectors_from_deployment(
    plan: QueryPlan, state: TemplateState, template_ids: Iterable[str]
) -> dict[str, ChangeDetector]:
    active_templates = ActiveTemplates(plan, state.reports())
    active_templates.set_settled_days(
        state.anchored_totals.settled_template_ids, state.anchored_totals.settled_through
    )
    return {
        template_id: DeploymentReportDetector(template_id, active_templates) for template_id in template_ids
    }


def _detectors_from_templates(
    plan: QueryPlan, template_states: Mapping[str, TemplateState]
) -> dict[str, ChangeDetector]:
    return {
        template_id: TemplateReportDetector(plan, state.report)
        for template_id, state in template_states.items()
    }


def _apps_by_template(inventory: Inventory) -> dict[TemplateKey, AppMetadata]:
    """Return the apps that agents offer by template; of several names for one, the first by the alphabet."""
    apps_by_template: dict[TemplateKey, AppMetadata] = {}
    for workspace in inventory.workspaces:
        apps = apps_by_template.setdefault(workspace.key, {})
        for agent in workspace.agents:
            for app in agent.apps:
                if not app.external:
                    metadata, key = (app.display_name, app.icon), (app.slug, "app")
                    apps[key] = min(apps.get(key, metadata), metadata)
    return apps_by_template


def _merge_apps(apps_by_template: Iterable[AppMetadata]) -> AppMetadata:
    merged: AppMetadata = {}
    for apps in apps_by_template:
        for key, metadata in apps.items():
            merged[key] = min(merged.get(key, metadata), metadata)
    return merged
