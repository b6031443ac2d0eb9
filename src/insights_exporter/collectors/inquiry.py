"""Putting questions to Coder, and what to do with a fault."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from insights_exporter.coder.client import Section
from insights_exporter.coder.responses import UserActivityReport
from insights_exporter.collectors.faults import Faults
from insights_exporter.collectors.names import Names
from insights_exporter.collectors.parts import Activity, Part, activity_part, latency_part, report_part
from insights_exporter.collectors.plan import Ask, Endpoint
from insights_exporter.collectors.source import Coder
from insights_exporter.collectors.subject import Subject
from insights_exporter.errors import (
    AuthError,
    DeadlineExceeded,
    ExporterError,
    InsightsDisabled,
    LoginPage,
    RedirectRefused,
    SecretError,
    TlsFailed,
    UpstreamError,
)
from insights_exporter.snapshot import Latency

__all__ = ["Inquiry"]

HOPELESS = (AuthError, DeadlineExceeded, InsightsDisabled, LoginPage, RedirectRefused, SecretError, TlsFailed)
"""Faults that every further question would meet too."""

QUESTIONS = 3
"""How many questions in a row may fail, each tried again by the client, before one subject is left alone."""

SUBJECTS = 5
"""How many subjects may fail, with no answer in between, before the poll gives up."""


class Inquiry:
    """Asks the questions of one poll; what fails leaves the older answer in its place."""

    def __init__(
        self,
        coder: Coder,
        *,
        faults: Faults,
        names: Names,
        admits: Callable[[str], bool] | None,
    ) -> None:
        self._coder = coder
        self._faults = faults
        self._names = names
        self._admits = admits
        self._answers = 0
        self._heard: set[str | None] = set()
        self._misses: dict[str | None, int] = {}
        """How many questions in a row went unanswered, by subject."""
        self._silent: set[str | None] = set()
        """The subjects that failed since the last answer."""
        self._left_alone: dict[str | None, ExporterError] = {}
        self._given_up: ExporterError | None = None
        self._last: ExporterError | None = None

    async def ask(self, subject: Subject, ask: Ask, now: datetime) -> ExporterError | None:
        """Ask on behalf of a subject; return the fault if there is one."""
        fault = self._given_up or self._left_alone.get(subject.id)
        if fault is not None:
            return fault
        try:
            part = await self._read(subject, ask)
        except ExporterError as error:
            self._note(subject, error)
            return error
        subject.keep(ask, part, now)
        self._answers += 1
        self._heard.add(subject.id)
        self._misses.pop(subject.id, None)
        self._silent.clear()
        return None

    def update(self, troubled: dict[str | None, datetime], now: datetime) -> None:
        """Note which subjects had no answer to their last question, and forget those that had one."""
        for identity in self._heard:
            troubled.pop(identity, None)
        troubled.update(dict.fromkeys(self._misses, now))

    def check(self) -> None:
        """Raise the fault where statistics are switched off or nothing was read; note one that ended all."""
        if isinstance(self._given_up, InsightsDisabled):
            raise self._given_up
        if self._answers == 0 and self._last is not None:
            raise self._last
        if self._given_up is not None:
            self._faults.note(self._given_up)

    def _note(self, subject: Subject, error: ExporterError) -> None:
        self._last = error
        if self._given_up is not None:
            # The other questions under way meet the same fault.
            return
        if isinstance(error, HOPELESS) or self._is_tired(subject, error):
            self._given_up = error
        else:
            self._faults.note(error, subject=subject.label)

    def _is_tired(self, subject: Subject, error: ExporterError) -> bool:
        """Count a fault that others may meet too; say whether so many did that nobody else need ask."""
        if not (isinstance(error, UpstreamError) and error.heals):
            return False
        self._silent.add(subject.id)
        self._misses[subject.id] = self._misses.get(subject.id, 0) + 1
        if self._misses[subject.id] >= QUESTIONS:
            # Its other questions would take the time of subjects that may well have answers.
            self._left_alone[subject.id] = error
        return len(self._silent) >= SUBJECTS

    async def _read(self, subject: Subject, ask: Ask) -> Part:
        start, end = ask.window.start, ask.window.end
        ids = () if subject.id is None else (subject.id,)
        before = subject.part(ask.key)
        if ask.key.endpoint is Endpoint.ACTIVITY:
            activity = await self._coder.user_activity(start, end, template_ids=ids)
            part = activity_part(activity, before=before if isinstance(before, Activity) else None)
            self._learn_names(activity, part)
            return part
        if ask.key.endpoint is Endpoint.LATENCY:
            latency = await self._coder.user_latency(start, end, template_ids=ids)
            return latency_part(
                latency,
                name_of=self._names.of,
                admits=self._admits,
                before=before if isinstance(before, Latency) else None,
            )
        report = await self._coder.template_insights(
            start, end, template_ids=ids, interval=ask.interval, sections=_sections(ask)
        )
        return report_part(report, ask)

    def _learn_names(self, report: UserActivityReport, part: Activity) -> None:
        # The ids of the part are the same objects as ever, which are found more quickly.
        if not self._names.agree(part.users, [user.username for user in report.users]):
            self._names.learn({user.user_id: user.username for user in report.users if user.username})


def _sections(ask: Ask) -> tuple[Section, ...]:
    if ask.interval is None:
        return ("report",)
    return ("report", "interval_reports") if ask.report else ("interval_reports",)
