"""Which templates a range can have numbers of, and whether they can have moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Protocol

from insights_exporter.coder import windows
from insights_exporter.collectors.parts import Report
from insights_exporter.collectors.plan import Ask, AskKey, Endpoint, Plan

__all__ = ["Everything", "OwnReach", "Reach", "SiteReach", "Use"]


class Use(Enum):
    """What is known of a range before it is asked for."""

    NONE = "none"
    """Nothing happened in it: it needs no question."""
    SOME = "some"
    UNKNOWN = "unknown"
    """Whether anything happened could not be found out in this poll."""


class Reach(Protocol):
    """What is known of one template before it is asked for."""

    def use(self, ask: Ask) -> Use:
        """Say whether anything happened in the range of a question."""
        ...

    def use_since(self, day: date) -> Use:
        """Say whether anything happened on the closed days after ``day``."""
        ...

    def moved(self, ask: Ask, since: datetime) -> bool:
        """Say whether an answer of that moment can have changed."""
        ...


class Everything:
    """The deployment as a whole: always in use, and moving while any day of the range is open."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def use(self, ask: Ask) -> Use:  # noqa: ARG002 - it makes no difference here.
        """Say that something may have happened."""
        return Use.SOME

    def use_since(self, day: date) -> Use:  # noqa: ARG002 - as above.
        """Say that something may have happened."""
        return Use.SOME

    def moved(self, ask: Ask, since: datetime) -> bool:
        """Say whether a day of the range was open at that moment."""
        return any(True for _ in open_days(self._plan, ask, since))


class SiteReach:
    """One template, judged by the deployment's answers, which name the templates they are made of."""

    def __init__(self, template_id: str, active: ActiveSets) -> None:
        self._id = template_id
        self._active = active

    def use(self, ask: Ask) -> Use:
        """Say whether the deployment's answers on the range name the template."""
        ids = self._active.within(ask)
        if ids is None:
            return Use.UNKNOWN
        return Use.SOME if self._id in ids else Use.NONE

    def use_since(self, day: date) -> Use:
        """Say whether the deployment's answers on the days after ``day`` name the template."""
        ids = self._active.since(day)
        if ids is None:
            return Use.UNKNOWN
        return Use.SOME if self._id in ids else Use.NONE

    def moved(self, ask: Ask, since: datetime) -> bool:
        """Say whether the template was used on a day of the range that was open at that moment."""
        return self._id in self._active.moved(ask, since)


class OwnReach:
    """One template, judged by its own reports on the open days, where the deployment's are not permitted."""

    def __init__(self, plan: Plan, report_of: Callable[[AskKey], Report | None]) -> None:
        self._plan = plan
        self._report_of = report_of

    def use(self, ask: Ask) -> Use:  # noqa: ARG002 - only asking tells.
        """Say that something may have happened."""
        return Use.SOME

    def use_since(self, day: date) -> Use:  # noqa: ARG002 - as above.
        """Say that something may have happened."""
        return Use.SOME

    def moved(self, ask: Ask, since: datetime) -> bool:
        """Say whether the template was used on a day of the range that was open at that moment."""
        for day in open_days(self._plan, ask, since):
            report = self._report_of(day_key(self._plan, day))
            if report is None or report.active_users != 0 or report.parameters:
                return True
        return False


class ActiveSets:
    """The templates that the deployment's answers name, by range."""

    def __init__(self, plan: Plan, reports: Mapping[AskKey, tuple[Ask, Report]]) -> None:
        self.plan = plan
        self._planned = {ask.key for ask in plan.asks}
        self._reports = reports
        self._within: dict[AskKey, frozenset[str] | None] = {}
        self._moved: dict[tuple[AskKey, datetime], frozenset[str] | Anything] = {}
        self._closed: list[tuple[date, frozenset[str]]] = []
        self._closed_through: date | None = None

    def close(self, extensions: list[tuple[date, frozenset[str]]], through: date) -> None:
        """Take which templates were used on closed days: up to which day, and which since the one before."""
        self._closed = extensions
        self._closed_through = through

    def within(self, ask: Ask) -> frozenset[str] | None:
        """Return the templates of a range; None where the deployment's answer on it is missing."""
        if ask.key not in self._within:
            self._within[ask.key] = self._union(ask)
        return self._within[ask.key]

    def _union(self, ask: Ask) -> frozenset[str] | None:
        key = ask.key._replace(endpoint=Endpoint.REPORT)
        whole = self._reports.get(key) if key in self._planned else self._around(ask)
        if whole is None:
            return None
        usage_only = ask.key.endpoint is not Endpoint.REPORT or not ask.report
        # A long range is asked for less often; what is newer stands in the answers on the ranges inside it.
        inside = (
            report
            for other, report in self._reports.values()
            if ask.window.start <= other.window.start and other.window.end <= ask.window.end
        )
        found = (report.used if usage_only else report.shown for report in (whole[1], *inside))
        return frozenset().union(*found)

    def _around(self, ask: Ask) -> tuple[Ask, Report] | None:
        """Return the shortest known range around one of which only the users are asked for."""
        around = (
            (other, report)
            for other, report in self._reports.values()
            if other.window.start <= ask.window.start and ask.window.end <= other.window.end
        )
        return min(around, key=lambda one: one[0].window.seconds, default=None)

    def since(self, day: date) -> frozenset[str] | None:
        """Return the templates used on the closed days after ``day``; None where that is unknown."""
        if self._closed_through != self.plan.last_closed:
            return None
        return frozenset().union(*(ids for last, ids in self._closed if last > day))

    def moved(self, ask: Ask, since: datetime) -> frozenset[str] | Anything:
        """Return the templates used on a day of the range that was open at that moment."""
        # Nearly all templates were asked at the same moment, that of the last poll.
        known = self._moved.get((ask.key, since))
        if known is None:
            known = self._moved[ask.key, since] = self._moved_on(open_days(self.plan, ask, since), ask)
        return known

    def _moved_on(self, days: Iterable[date], ask: Ask) -> frozenset[str] | Anything:
        found: frozenset[str] = frozenset()
        for day in days:
            ids = self._on(day, ask)
            if isinstance(ids, Anything):
                return ids
            found |= ids
        return found

    def _on(self, day: date, ask: Ask) -> frozenset[str] | Anything:
        """Return the templates that a question on a day can have found."""
        found = self._reports.get(day_key(self.plan, day))
        if found is None:
            return ANYTHING
        report = found[1]
        return report.shown if ask.key.endpoint is Endpoint.REPORT and ask.report else report.used


class Anything:
    """A set that holds whatever it is asked for."""

    def __contains__(self, item: object) -> bool:
        return True


ANYTHING = Anything()


def day_key(plan: Plan, day: date) -> AskKey:
    """Return the key of the report on one day."""
    window = windows.closed_day(day, plan.utc_offset)
    return plan.key(Endpoint.REPORT, window)


def open_days(plan: Plan, ask: Ask, since: datetime) -> Iterator[date]:
    """Yield the days of a question's range whose numbers could still change at that moment."""
    first = plan.last_closed_at(since) + timedelta(days=1)
    zone = windows.zone(plan.utc_offset)
    day = max(first, ask.window.start.astimezone(zone).date())
    while day <= plan.today.start.date() and windows.closed_day(day, plan.utc_offset).start < ask.window.end:
        yield day
        day += timedelta(days=1)
