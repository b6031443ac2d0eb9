"""Coder's insights of the past, answered from recorded responses: the collector sends no request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.backfill.range_data import RangeData, WindowData, add_activities, add_reports
from insights_exporter.coder import models
from insights_exporter.coder.client import Interval, Section
from insights_exporter.coder.versions import Feature, ServerVersion
from insights_exporter.errors import NotFoundOrForbidden

__all__ = ["History"]

DETAILED_RANGES: Final = 2
"""Today and yesterday: older ranges keep only what adds up."""


class History:
    """The recorded ranges as an ``InsightsApi``.

    A range that was not recorded is the sum of recorded ones. Opens, parameters and latency of such a sum are
    unknown, unless the window itself was recorded. ``keep`` is how far windows, weeks and counters reach
    back; None keeps all ranges.
    """

    def __init__(self, *, keep: timedelta | None) -> None:
        self._keep = keep
        self._ranges: dict[datetime, list[RangeData]] = {}
        self._recent: list[RangeData] = []
        self._denied: set[str] = set()

    def add(self, data: RangeData) -> None:
        """Add the next range; older details, and ranges that no window reaches, are dropped."""
        self._denied.update(data.denied)
        self._recent.append(data)
        self._put(data)
        while len(self._recent) > DETAILED_RANGES:
            self._put(self._recent.pop(0).without_details())
        if self._keep is None:
            return
        oldest = data.end - self._keep
        for start in [start for start, ranges in self._ranges.items() if ranges[0].end <= oldest]:
            del self._ranges[start]

    def _put(self, data: RangeData) -> None:
        ranges = [one for one in self._ranges.get(data.start, ()) if one.end != data.end]
        # The longest range first.
        self._ranges[data.start] = sorted([*ranges, data], key=lambda one: one.end, reverse=True)

    def used_template_ids(self, start: datetime, end: datetime) -> frozenset[str]:
        """Return the templates with users or new builds in a recorded range."""
        parts = self._parts(start, end)
        mentioned = (part.report.template_ids for part in parts if part.report is not None)
        return frozenset().union(*mentioned, *(part.used_template_ids() for part in parts))

    def deployment_activity(self, start: datetime, end: datetime) -> models.UserActivityReport:
        """Return the users of a recorded range; raise NotFoundOrForbidden if the account cannot read them."""
        return add_activities([self._deployment_activity(part) for part in self._parts(start, end)])

    @property
    def version(self) -> ServerVersion | None:
        """None: the recorded responses are of the current version."""
        return None

    def is_unsupported(self, feature: Feature) -> bool:  # noqa: ARG002  # Part of the protocol.
        """Return False: whether usage was collected in the past is unknown and not written."""
        return False

    async def template_insights(
        self,
        start: datetime,
        end: datetime,
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,  # noqa: ARG002  # Part of the protocol.
        sections: Sequence[Section] = ("report",),  # noqa: ARG002  # Part of the protocol.
    ) -> models.TemplateInsights:
        """Return the report of a range."""
        if not template_ids:
            reports = [self._deployment_report(part) for part in self._parts(start, end)]
            return models.TemplateInsights(report=add_reports(reports))
        template_id = self._allowed(template_ids)
        window = self._window(start, end)
        if window is not None:
            report = window.reports.get(template_id, models.TemplateReport())
            return models.TemplateInsights(report=report)
        parts = self._parts(start, end)
        reports = [part.reports.get(template_id, models.TemplateReport()) for part in parts]
        return models.TemplateInsights(report=add_reports(reports))

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserActivityReport:
        """Return the users of a range."""
        if not template_ids:
            return self.deployment_activity(start, end)
        template_id = self._allowed(template_ids)
        return add_activities([part.template_activity(template_id) for part in self._parts(start, end)])

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserLatencyReport:
        """Return the latency of a day or of a recorded window; no users for other ranges."""
        template_id = self._allowed(template_ids)
        window = self._window(start, end)
        if window is not None:
            return window.latencies.get(template_id, models.UserLatencyReport())
        parts = self._parts(start, end)
        if len(parts) > 1:
            return models.UserLatencyReport()
        return parts[0].latencies.get(template_id, models.UserLatencyReport())

    def _parts(self, start: datetime, end: datetime) -> list[RangeData]:
        """Return the recorded ranges that together are the range."""
        parts: list[RangeData] = []
        while start < end:
            part = next((one for one in self._ranges.get(start, ()) if one.end <= end), None)
            if part is None:
                raise LookupError(f"No range was recorded from {start} up to {end}.")
            parts.append(part)
            start = part.end
        return parts or [RangeData(start, end)]

    def _window(self, start: datetime, end: datetime) -> WindowData | None:
        windows = self._recent[-1].windows if self._recent else ()
        return next((one for one in windows if (one.start, one.end) == (start, end)), None)

    def _deployment_activity(self, data: RangeData) -> models.UserActivityReport:
        if data.activity is None:
            raise _denied("/insights/user-activity")
        return data.activity

    def _deployment_report(self, data: RangeData) -> models.TemplateReport:
        if data.report is None:
            raise _denied("/insights/templates")
        return data.report

    def _allowed(self, template_ids: Sequence[str]) -> str:
        if len(template_ids) != 1 or template_ids[0] in self._denied:
            # After a denied request for several templates, the collector sends one for each of them.
            raise _denied("/insights/templates")
        return template_ids[0]


def _denied(endpoint: str) -> NotFoundOrForbidden:
    return NotFoundOrForbidden("the account cannot read these insights", endpoint=endpoint, status=404)
