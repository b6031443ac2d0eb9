"""The series at the end of each range: what the exporter would have served then.

The live collector runs on recorded responses with the time of the past. Its snapshot passes through the
families, limits and privacy rules of a scrape.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from insights_exporter.backfill.family_rows import FamilyRows, RowEncoder
from insights_exporter.backfill.history import History
from insights_exporter.backfill.schedule import Step
from insights_exporter.coder import time_ranges
from insights_exporter.config.settings import Settings
from insights_exporter.insights.collector import InsightsCollector
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.metrics.families import iter_families
from insights_exporter.privacy import Filters, load_username_policy
from insights_exporter.small_groups import suppress_small_groups
from insights_exporter.snapshot import AgentStats, Insights, Inventory, Snapshot, Template, Timestamped
from insights_exporter.telemetry import Telemetry

__all__ = ["WRITTEN_FAMILIES", "Boundary", "BoundaryReader", "existing_templates"]

WRITTEN_FAMILIES: Final = (
    *(
        family
        for family in catalogue.INSIGHTS_FAMILIES
        if family
        not in {
            catalogue.TOTALS_PENDING,
            catalogue.WARM_UP_RATIO,
            catalogue.POSTPONED_REQUESTS,
            catalogue.WINDOW_UPDATED,
            catalogue.COLLECTION_ENABLED,
        }
    ),
    catalogue.APP_INFO,
    catalogue.TEMPLATE_CREATED,
    catalogue.LAST_SUCCESS,
    catalogue.POLL_INTERVAL,
)
"""The families that follow from Coder's insights of past days, and those that dashboards need with them.

Dashboards list the templates that have a time of creation. Without the age of the data and the poll interval,
they hide the past as outdated.
"""

_UNKNOWN_IN_SUMS: Final = frozenset(
    {
        catalogue.TEMPLATE_APP_OPENS,
        catalogue.USER_LATENCY_P50,
        catalogue.USER_LATENCY_P95,
        catalogue.TEMPLATE_USER_LATENCY,
        catalogue.TEMPLATE_USERS_WITHOUT_LATENCY,
        catalogue.TEMPLATE_PARAMETER_WORKSPACES,
    }
)
"""The families whose values for several days do not follow from those of single days."""

_SINGLE_DAY_WINDOWS: Final = frozenset({"today", "yesterday", "1d"})


@dataclass(frozen=True, slots=True)
class Boundary:
    """The series at the end of a range, by family name; ``anchor`` is the first day of the counters."""

    anchor: date
    families: Mapping[str, FamilyRows]

    @property
    def series(self) -> int:
        """The number of series."""
        return sum(len(metric) for rows in self.families.values() for metric in rows.metrics.values())


class BoundaryReader:
    """Returns the boundaries of ranges in the order of time.

    ``labels`` are added to every series. ``has_window_data`` says whether windows of several days were
    requested.
    """

    def __init__(
        self,
        settings: Settings,
        templates: Sequence[Template],
        history: History,
        *,
        labels: Mapping[str, str],
        has_window_data: bool,
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._history = history
        self._encoder = RowEncoder(labels)
        self._has_window_data = has_window_data
        self._collector = InsightsCollector(
            settings.insights,
            poll=settings.poll,
            filters=Filters(settings.filters),
            telemetry=Telemetry(),
        )
        self._username_policy = load_username_policy(settings.privacy)
        self._sticky_selection = StickySelection()

    async def snapshot(self, step: Step, *, agent_apps: Collection[str] = ()) -> Snapshot:
        """Return what a poll in the last second of the range would have collected.

        ``agent_apps`` are the apps of agent statistics, whose series are written elsewhere.
        """
        now = step.poll_time
        inventory = Inventory(existing_templates(self._templates, now))
        insights = await self._collect(step, inventory)
        # The family of apps describes those of agent statistics, too.
        agent_stats = AgentStats(now, sessions={("", "", app): 0 for app in agent_apps})
        snapshot = Snapshot(
            now,
            inventory=Timestamped(Inventory(_creation_times(inventory.templates)), now),
            insights=Timestamped(insights, now),
            agent_stats=Timestamped(agent_stats, now),
        )
        return suppress_small_groups(snapshot, self._settings.privacy.min_group_size).snapshot

    async def _collect(self, step: Step, inventory: Inventory) -> Insights:
        collect = self._collector.collect
        result = await collect(self._history, now=step.poll_time, inventory=inventory)
        state = self._collector.state
        if any(one.anchored_totals.has_pending_zero for one in (state.deployment, *state.templates.values())):
            # A live exporter serves a new total as 0 once, minutes before its value.
            result = await collect(self._history, now=step.poll_time, inventory=inventory)
        return result.value

    def boundary(self, step: Step, snapshot: Snapshot) -> Boundary:
        """Return the series of a snapshot; call it for each range in turn, as limits are sticky."""
        insights, privacy = self._settings.insights, self._settings.privacy
        families = iter_families(
            snapshot,
            username_policy=self._username_policy,
            limits=self._settings.limits,
            free_text=privacy.parameter_free_text,
            sticky_selection=self._sticky_selection,
        )
        samples = [limited.samples for limited in families if limited.samples.family in WRITTEN_FAMILIES]
        samples += [
            FamilySamples(catalogue.LAST_SUCCESS, [(("insights",), step.window.end.timestamp())]),
            FamilySamples(catalogue.POLL_INTERVAL, [((), self._settings.poll.interval)]),
        ]
        rows = {one.family.name: self._rows(one) for one in samples}
        anchor = insights.anchor or time_ranges.first_day_of_quarter(step.poll_time, insights.utc_offset)
        return Boundary(anchor, {name: one for name, one in rows.items() if one.metrics})

    def _rows(self, samples: FamilySamples) -> FamilyRows:
        if samples.family in _UNKNOWN_IN_SUMS and not self._has_window_data:
            samples = _of_single_days(samples)
        return self._encoder.rows(samples)


def existing_templates(templates: Sequence[Template], time: datetime) -> tuple[Template, ...]:
    """Return the templates that existed at a time."""
    return tuple(
        template for template in templates if template.created_at is None or template.created_at <= time
    )


def _creation_times(templates: Sequence[Template]) -> tuple[Template, ...]:
    """Return templates with what the past can tell of them."""
    return tuple(
        Template(template.id, template.key, created_at=template.created_at) for template in templates
    )


def _of_single_days(samples: FamilySamples) -> FamilySamples:
    """Return the samples of windows up to one day."""
    index = samples.family.labels.index("window")
    return replace(
        samples,
        rows=[row for row in samples.rows if row[0][index] in _SINGLE_DAY_WINDOWS],
        groups=[group for group in samples.groups if group.labels[index] in _SINGLE_DAY_WINDOWS],
    )
