"""The requests of one poll of the insights collector, in stages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from insights_exporter.collectors.base import is_refresh_due, run_limited
from insights_exporter.errors import Forbidden, NotFoundOrForbidden
from insights_exporter.insights.change_detection import (
    ActiveTemplates,
    DeploymentDetector,
    OrganizationDetector,
    TemplateDetector,
)
from insights_exporter.insights.fetcher import InsightsFetcher
from insights_exporter.insights.query_plan import InsightsEndpoint, Query, QueryPlan, Stage
from insights_exporter.insights.template_state import (
    ActivityStatus,
    ChangeDetector,
    InsightsState,
    TemplateState,
)
from insights_exporter.insights.users import ActivityReport, group_templates

__all__ = ["InsightsPoll"]


class InsightsPoll:
    """Sends the requests of one poll for the deployment and the templates, stage by stage."""

    def __init__(
        self, plan: QueryPlan, fetcher: InsightsFetcher, state: InsightsState, *, refresh_interval: float
    ) -> None:
        self.plan = plan
        self.fetcher = fetcher
        self.deployment = state.deployment
        self.deployment_allowed = True
        """Whether the account may read deployment-wide insights."""
        self._active = ActiveTemplates(plan, state.deployment)
        self._templates = tuple(state.templates.values())
        self._last_failed_at = dict(state.last_failed_at)
        self._coder_started_at = state.coder_started_at
        self._is_warm = state.is_warm
        self._refresh_interval = refresh_interval
        self._organization_queries = plan.organization_queries
        self._queries_by_stage: dict[tuple[int, Stage], Sequence[Query]] = {}

    async def fetch_deployment(self, stage: Stage) -> None:
        """Send the requests of a stage for the deployment, which must precede those for the templates."""
        if stage is Stage.TODAY:
            self.deployment_allowed = await self._fetch_first()
        if not self.deployment_allowed:
            return
        state, detector = self.deployment, self.detector(self.deployment)
        queries = self._stage_queries(self.plan.deployment_queries, stage)
        await run_limited(partial(self._fetch_if_due, state, query, detector) for query in queries)
        settled_queries = self._settled_queries(state, detector, stage)
        await run_limited(
            partial(self.fetcher.fetch, state, query, self.plan.now) for query in settled_queries
        )
        state.settle_days(self.plan, detector)
        self._active = ActiveTemplates(self.plan, state)

    async def fetch_templates(self, stage: Stage) -> None:
        """Send the requests of a stage for the templates that did not fail last.

        The templates with the oldest data come first.
        """
        states = [
            state
            for state in self._templates
            if state.missing_since is None and state.id not in self._last_failed_at
        ]
        states.sort(key=lambda state: state.oldest_response(self._stage_queries(self._queries(state), stage)))
        grouped: dict[Query, list[TemplateState]] = {}
        await run_limited(partial(self._fetch_template, state, stage, grouped) for state in states)
        for query, members in grouped.items():
            await self._fetch_in_groups(query, members)

    async def fetch_failed_templates(self) -> None:
        """Send all requests of the templates that failed last, in the order of their failures.

        They come last: if they open the circuit, the healthy templates have been fetched already.
        """
        failed = [
            state
            for state in self._templates
            if state.missing_since is None and state.id in self._last_failed_at
        ]
        failed.sort(key=lambda state: self._last_failed_at[state.id])
        await run_limited(partial(self._fetch_all_stages, state) for state in failed)

    def detector(self, state: TemplateState) -> ChangeDetector:
        """Return the change detector of a template or of the deployment."""
        if state.id is None:
            return DeploymentDetector(self.plan, state)
        if self.deployment_allowed:
            return TemplateDetector(state.id, self._active)
        return OrganizationDetector(self.plan, state)

    def answered_ratio(self) -> float:
        """Return the share of the needed responses that are cached."""
        answered = needed = 0
        for state in (self.deployment, *self._templates):
            if state.denied_at is not None or (state.id is None and not self.deployment_allowed):
                continue
            detector = self.detector(state)
            for query in self._queries(state):
                if query.key in state.response_cache:
                    answered, needed = answered + 1, needed + 1
                elif detector.activity_in(query) is not ActivityStatus.NONE:
                    needed += 1
            needed += 1
            answered += not self._settled_queries(state, detector, Stage.HISTORY)
        return answered / needed if needed else 1.0

    async def _fetch_first(self) -> bool:
        """Request the deployment's activity of today; return whether deployment-wide insights are allowed."""
        key = self.plan.key(InsightsEndpoint.ACTIVITY, self.plan.today)
        query = next(query for query in self.plan.deployment_queries if query.key == key)
        error = await self.fetcher.fetch(self.deployment, query, self.plan.now)
        return not isinstance(error, NotFoundOrForbidden | Forbidden)

    async def _fetch_template(
        self,
        state: TemplateState,
        stage: Stage,
        grouped: dict[Query, list[TemplateState]] | None = None,
    ) -> None:
        """Send a template's requests of a stage.

        Requests that several templates can share are added to ``grouped`` instead.
        """
        if not self._has_access(state, stage):
            return
        detector = self.detector(state)
        if self._must_wait(state, stage, detector):
            return
        can_share = stage is Stage.TODAY and self.deployment_allowed
        for query in self._stage_queries(self._queries(state), stage):
            if not self._is_due(state, query, detector):
                continue
            if grouped is None or not can_share or query.key.endpoint is InsightsEndpoint.REPORT:
                await self._fetch(state, query, detector)
            else:
                grouped.setdefault(query, []).append(state)
        for query in self._settled_queries(state, detector, stage):
            await self._fetch(state, query, detector)

    async def _fetch_in_groups(self, query: Query, states: Sequence[TemplateState]) -> None:
        """Send a query of today for templates: one request for those without a common user."""
        key = self.plan.key(InsightsEndpoint.ACTIVITY, self.plan.today)
        activity = self.deployment.response(key)
        remaining = {
            state.id: state for state in states if not self._derive(state, query, self.detector(state))
        }
        if isinstance(activity, ActivityReport):
            groups = group_templates((template_id for template_id in remaining if template_id), activity)
            await run_limited(
                partial(self.fetcher.fetch_group, [remaining[one] for one in group], query, self.plan.now)
                for group in groups
                if len(group) > 1
            )
        await run_limited(
            partial(self._fetch_if_due, state, query, self.detector(state)) for state in remaining.values()
        )

    def _must_wait(self, state: TemplateState, stage: Stage, detector: ChangeDetector) -> bool:
        """Return whether a template's requests of a stage wait for a later poll.

        All of them wait, so that the numbers of a window have the same age. While the exporter warms up,
        refreshes leave Coder's time to the data that is missing.
        """
        budget = self.fetcher.budget
        if self._is_warm and not budget.api_time.is_used_up:
            return False
        due = [
            query
            for query in self._stage_queries(self._queries(state), stage)
            if self._is_due(state, query, detector)
        ]
        settled = self._settled_queries(state, detector, stage)
        is_refresh = not settled and all(query.key in state.response_cache for query in due)
        if not (is_refresh or budget.api_time.is_used_up):
            return False
        if not budget.limits.allow(state, due, settled, self.plan, is_warm=self._is_warm):
            return False
        for query in (*due, *settled):
            self.fetcher.postpone(state, query)
        state.keep_postponed(due, self.plan)
        return True

    async def _fetch_all_stages(self, state: TemplateState) -> None:
        for stage in Stage:
            await self._fetch_template(state, stage)

    def _has_access(self, state: TemplateState, stage: Stage) -> bool:
        """Return whether to request a template; after a denial, once per refresh interval."""
        if self.deployment_allowed:
            state.denied_at = None
        if state.denied_at is None:
            return True
        return stage is Stage.TODAY and is_refresh_due(
            state.label, last_refresh=state.denied_at, now=self.plan.now, interval=self._refresh_interval
        )

    def _is_due(self, state: TemplateState, query: Query, detector: ChangeDetector) -> bool:
        return state.is_due(query, self.plan, detector, refresh_interval=self._refresh_interval)

    async def _fetch_if_due(self, state: TemplateState, query: Query, detector: ChangeDetector) -> None:
        if self._is_due(state, query, detector):
            await self._fetch(state, query, detector)

    async def _fetch(self, state: TemplateState, query: Query, detector: ChangeDetector) -> None:
        if self._derive(state, query, detector):
            return
        error = await self.fetcher.fetch(state, query, self.plan.now)
        if error is None:
            state.denied_at = None
        elif isinstance(error, NotFoundOrForbidden | Forbidden) and not self.deployment_allowed:
            state.denied_at = self.plan.now

    def _derive(self, state: TemplateState, query: Query, detector: ChangeDetector) -> bool:
        """Take a response from the deployment's; return whether that is possible."""
        if query.key.endpoint is not InsightsEndpoint.ACTIVITY:
            return False
        derived = detector.derive_activity(query)
        if derived is None:
            return False
        response, fetched_at = derived
        state.store(query, response, fetched_at)
        state.response_cache[query.key].validated_at = self.plan.now
        return True

    def _queries(self, state: TemplateState) -> Sequence[Query]:
        if state.id is None:
            return self.plan.deployment_queries
        return self.plan.template_queries if self.deployment_allowed else self._organization_queries

    def _stage_queries(self, queries: Sequence[Query], stage: Stage) -> Sequence[Query]:
        """Return the queries of a stage; all templates share them."""
        key = id(queries), stage
        if key not in self._queries_by_stage:
            self._queries_by_stage[key] = [query for query in queries if query.stage is stage]
        return self._queries_by_stage[key]

    def _settled_queries(
        self, state: TemplateState, detector: ChangeDetector, stage: Stage
    ) -> Sequence[Query]:
        if stage not in {Stage.RECENT, Stage.HISTORY}:
            return ()
        queries = state.due_settled_queries(self.plan, detector, coder_started_at=self._coder_started_at)
        return [query for query in queries if query.stage is stage]
