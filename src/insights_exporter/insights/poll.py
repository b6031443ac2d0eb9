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
        self._refresh_interval = refresh_interval
        self._organization_queries = plan.organization_queries
        self._queries_by_stage: dict[tuple[int, Stage], Sequence[Query]] = {}

    async def fetch_stage(self, stage: Stage) -> None:
        """Send the requests of a stage: for the deployment, then for the templates that did not fail last."""
        if stage is Stage.TODAY:
            self.deployment_allowed = await self._fetch_first()
        if self.deployment_allowed:
            await self._fetch_deployment(stage)
        await run_limited(
            partial(self._fetch_template, state, stage)
            for state in self._templates
            if state.missing_since is None and state.id not in self._last_failed_at
        )

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

    async def _fetch_deployment(self, stage: Stage) -> None:
        state, detector = self.deployment, self.detector(self.deployment)
        queries = self._stage_queries(self.plan.deployment_queries, stage)
        await run_limited(partial(self._fetch_if_due, state, query, detector) for query in queries)
        settled_queries = self._settled_queries(state, detector, stage)
        await run_limited(
            partial(self.fetcher.fetch, state, query, self.plan.now) for query in settled_queries
        )
        state.settle_days(self.plan, detector)
        self._active = ActiveTemplates(self.plan, state)

    async def _fetch_template(self, state: TemplateState, stage: Stage) -> None:
        if not self._has_access(state, stage):
            return
        detector = self.detector(state)
        for query in self._stage_queries(self._queries(state), stage):
            await self._fetch_if_due(state, query, detector)
        for query in self._settled_queries(state, detector, stage):
            await self._fetch(state, query, detector)

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

    async def _fetch_if_due(self, state: TemplateState, query: Query, detector: ChangeDetector) -> None:
        if state.is_due(query, self.plan, detector, refresh_interval=self._refresh_interval):
            await self._fetch(state, query, detector)

    async def _fetch(self, state: TemplateState, query: Query, detector: ChangeDetector) -> None:
        if query.key.endpoint is InsightsEndpoint.ACTIVITY:
            derived = detector.derive_activity(query)
            if derived is not None:
                response, fetched_at = derived
                state.store(query, response, fetched_at)
                state.response_cache[query.key].validated_at = self.plan.now
                return
        error = await self.fetcher.fetch(state, query, self.plan.now)
        if error is None:
            state.denied_at = None
        elif isinstance(error, NotFoundOrForbidden | Forbidden) and not self.deployment_allowed:
            state.denied_at = self.plan.now

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
