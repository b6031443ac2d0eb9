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

from insights_exporter.coder import windows
from insights_exporter.coder.version import Feature
from insights_exporter.collectors.cadence import is_due
from insights_exporter.collectors.collected import Collected
from insights_exporter.collectors.counters import Ledger
from insights_exporter.collectors.errands import run_errands
from insights_exporter.collectors.faults import Faults, KnownFaults
from insights_exporter.collectors.inquiry import Inquiry
from insights_exporter.collectors.names import Names
from insights_exporter.collectors.plan import AskKey, Endpoint, Plan, plan
from insights_exporter.collectors.reach import ActiveSets, Everything, OwnReach, Reach, SiteReach
from insights_exporter.collectors.source import Coder
from insights_exporter.collectors.subject import Subject
from insights_exporter.collectors.usage import UsageBuilder
from insights_exporter.errors import Forbidden, InsightsDisabled, NotPermitted
from insights_exporter.filters import Filters
from insights_exporter.settings import InsightsSettings, PollSettings
from insights_exporter.snapshot import Account, Insights, Inventory, Template, TemplateKey, TemplateUse
from insights_exporter.telemetry import Telemetry

__all__ = ["InsightsCollector", "InsightsState"]

NEVER = datetime.min.replace(tzinfo=UTC)

ShownApps = dict[tuple[str, str], tuple[str, str]]


@dataclass(slots=True)
class InsightsState:
    """What must outlive a poll, and a change of settings: answers, totals, names, and what was told."""

    deployment: Subject | None = None
    templates: dict[str, Subject] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    """What user ids go by."""
    accounts: Sequence[Account] = ()
    """The accounts whose names were taken last."""
    asked_at: datetime | None = None
    """When templates were last asked for, on the server's clock."""
    known: KnownFaults = field(default_factory=KnownFaults)
    troubled: dict[str | None, datetime] = field(default_factory=dict)
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
        self._admits = None if filters.admits_all_users else filters.admits_user
        self._telemetry = telemetry
        self.state = state if state is not None else InsightsState()

    async def collect(
        self, coder: Coder, *, now: datetime, inventory: Inventory | None
    ) -> Collected[Insights]:
        """Return the use of all templates of the inventory, and of the deployment.

        ``now`` is the server's time. Raises an ExporterError where nothing at all could be read.
        """
        faults = Faults(self.name, telemetry=self._telemetry, known=self.state.known)
        found = inventory or Inventory()
        self._learn_names(found.users)
        try:
            insights = await self._ask_all(coder, plan(self._settings, now), found, faults)
        except InsightsDisabled:
            insights = Insights(deployment=TemplateUse(None), collection_enabled=False)
        finally:
            faults.settle()
        return Collected(insights, faults.count)

    def _learn_names(self, accounts: Sequence[Account]) -> None:
        # Only a fresh list: newer answers may know newer names than an old one.
        if accounts is not self.state.accounts:
            self.state.accounts = accounts
            self.state.names.learn({account.id: account.username for account in accounts})

    # Asking

    async def _ask_all(self, coder: Coder, to_ask: Plan, inventory: Inventory, faults: Faults) -> Insights:
        inquiry = Inquiry(coder, faults=faults, names=self.state.names, admits=self._admits)
        deployment = self.state.deployment = self._subject(self.state.deployment, to_ask)
        self.state.templates = {
            template.id: self._subject(self.state.templates.get(template.id), to_ask, template)
            for template in inventory.templates
        }
        subjects = self.state.templates
        sitewide = await self._ask_deployment(inquiry, to_ask, deployment)
        ask: Callable[[Inquiry, Plan, Subject, Reach], Coroutine[None, None, None]]
        if sitewide:
            reaches, ask = _site_reaches(to_ask, deployment, subjects), self._ask_template
        else:
            reaches, ask = _own_reaches(to_ask, subjects), self._ask_alone
        # Who failed last comes last: a poll that gives up over them has asked the healthy ones before.
        order = sorted(subjects, key=lambda identity: self.state.troubled.get(identity, NEVER))
        await run_errands(partial(ask, inquiry, to_ask, subjects[one], reaches[one]) for one in order)
        inquiry.update(self.state.troubled, to_ask.now)
        inquiry.check()
        self.state.asked_at = to_ask.now
        for subject in (deployment, *subjects.values()):
            subject.prune(to_ask, max_age=self._poll.max_staleness)
        apps = _shown_apps(inventory)
        return Insights(
            deployment=self._deployment_use(to_ask, apps, deployment) if sitewide else TemplateUse(None),
            templates=await self._template_uses(to_ask, inventory, apps, reaches),
            collection_enabled=None if coder.lacks(Feature.INSIGHTS_SWITCH) else True,
        )

    async def _ask_deployment(self, inquiry: Inquiry, to_ask: Plan, deployment: Subject) -> bool:
        """Ask about the deployment; return False where only single templates may be asked for."""
        reach = Everything(to_ask)
        due = deployment.due(to_ask, reach, every=self._poll.refresh_interval)
        refusal = await inquiry.ask(deployment, due[0], to_ask.now)
        if isinstance(refusal, NotPermitted | Forbidden):
            deployment.held.clear()
            return False
        await run_errands(partial(inquiry.ask, deployment, ask, to_ask.now) for ask in due[1:])
        deployment.close_days(to_ask, reach)
        return True

    async def _ask_template(
        self,
        inquiry: Inquiry,
        to_ask: Plan,
        subject: Subject,
        reach: Reach,
        asked: frozenset[AskKey] = frozenset(),
    ) -> None:
        """Ask whatever can have moved on a template."""
        subject.hidden_at = None
        for ask in subject.due(to_ask, reach, every=self._poll.refresh_interval, asked=asked):
            refusal = await inquiry.ask(subject, ask, to_ask.now)
            if isinstance(refusal, NotPermitted):
                # It was deleted meanwhile; the next inventory will say so.
                return

    async def _ask_alone(self, inquiry: Inquiry, to_ask: Plan, subject: Subject, reach: Reach) -> None:
        """Ask on a template where the deployment does not tell what moves: its own open days do."""
        every = self._poll.refresh_interval
        hidden = subject.hidden_at
        if hidden is not None and not is_due(subject.label, last=hidden, now=to_ask.now, every=every):
            return
        open_starts = {to_ask.today.start, *(day.start for day in to_ask.open_days)}
        reports = [ask for ask in to_ask.asks if ask.additive and ask.key.endpoint is Endpoint.REPORT]
        asked = [ask for ask in reports if ask.window.start in open_starts]
        for ask in asked:
            refusal = await inquiry.ask(subject, ask, to_ask.now)
            if isinstance(refusal, NotPermitted | Forbidden):
                subject.hidden_at = to_ask.now
                return
        keys = frozenset(ask.key for ask in asked)
        await self._ask_template(inquiry, to_ask, subject, reach, keys)

    # What is remembered

    def _subject(self, known: Subject | None, to_ask: Plan, template: Template | None = None) -> Subject:
        """Return what is remembered; totals begin anew when the anchor has moved."""
        since = windows.closed_day(to_ask.anchor, to_ask.utc_offset).start.astimezone(UTC)
        subject = known
        if subject is None or subject.ledger.since != since:
            asked, born = self.state.asked_at, template.created_at if template is not None else None
            newborn = known is None and asked is not None and born is not None and born > asked
            ledger = Ledger(to_ask.anchor, since, newborn=newborn)
            if subject is None:
                subject = Subject(template.id if template is not None else None, ledger)
            subject.ledger = ledger
        if template is not None:
            subject.label = "/".join(template.key)
        return subject

    # What it comes to

    def _builder(self, to_ask: Plan) -> UsageBuilder:
        return UsageBuilder(
            plan=to_ask,
            names=self.state.names,
            admits=self._admits,
            corrected=self._telemetry.counters_corrected,
            max_staleness=self._poll.max_staleness,
        )

    def _deployment_use(
        self, to_ask: Plan, apps: Mapping[TemplateKey, ShownApps], deployment: Subject
    ) -> TemplateUse:
        shown = _all_apps(apps.values())
        return self._builder(to_ask).build(deployment, Everything(to_ask), key=None, apps=shown)

    async def _template_uses(
        self,
        to_ask: Plan,
        inventory: Inventory,
        apps: Mapping[TemplateKey, ShownApps],
        reaches: Mapping[str, Reach],
    ) -> tuple[TemplateUse, ...]:
        builder, uses = self._builder(to_ask), []
        for template in inventory.templates:
            # Others have their turn between two templates.
            await asyncio.sleep(0)
            subject = self.state.templates[template.id]
            if subject.hidden_at is None:
                use = builder.build(
                    subject,
                    reaches[template.id],
                    key=template.key,
                    apps=apps.get(template.key, {}),
                    parameters=template.parameters,
                )
                uses.append(use)
        return tuple(uses)


def _site_reaches(to_ask: Plan, deployment: Subject, ids: Iterable[str]) -> dict[str, Reach]:
    active = ActiveSets(to_ask, deployment.reports())
    active.close(deployment.ledger.extensions, deployment.ledger.closed_through)
    return {identity: SiteReach(identity, active) for identity in ids}


def _own_reaches(to_ask: Plan, subjects: Mapping[str, Subject]) -> dict[str, Reach]:
    return {identity: OwnReach(to_ask, subject.report) for identity, subject in subjects.items()}


def _shown_apps(inventory: Inventory) -> dict[TemplateKey, ShownApps]:
    """Return the apps that agents offer by template; of several names for one, the first by the alphabet."""
    found: dict[TemplateKey, ShownApps] = {}
    for workspace in inventory.workspaces:
        apps = found.setdefault(workspace.key, {})
        for agent in workspace.agents:
            for app in agent.apps:
                if not app.external:
                    shown, key = (app.display_name, app.icon), (app.slug, "app")
                    apps[key] = min(apps.get(key, shown), shown)
    return found


def _all_apps(by_template: Iterable[ShownApps]) -> ShownApps:
    found: ShownApps = {}
    for apps in by_template:
        for key, shown in apps.items():
            found[key] = min(found.get(key, shown), shown)
    return found
