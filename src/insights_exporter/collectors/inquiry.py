"""Putting questions to Coder, and what to do with a fault."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from insights_exporter.coder.client import Section
from insights_exporter.collectors.faults import Faults
from insights_exporter.collectors.parts import Part, activity_part, latency_part, report_part
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

__all__ = ["Inquiry"]

HOPELESS = (AuthError, DeadlineExceeded, InsightsDisabled, LoginPage, RedirectRefused, SecretError, TlsFailed)
"""Faults that every further question would meet too."""

PATIENCE = 5
"""How many questions in a row may fail, each tried again by the client, before the poll gives up."""


class Inquiry:
    """Asks the questions of one poll; what fails leaves the older answer in its place."""

    def __init__(
        self,
        coder: Coder,
        *,
        faults: Faults,
        names: dict[str, str],
        admits: Callable[[str], bool] | None,
    ) -> None:
        self._coder = coder
        self._faults = faults
        self._names = names
        self._admits = admits
        self._answers = 0
        self._misses = 0
        self._given_up: ExporterError | None = None
        self._last: ExporterError | None = None

    async def ask(self, subject: Subject, ask: Ask, now: datetime) -> ExporterError | None:
        """Ask on behalf of a subject; return the fault if there is one."""
        if self._given_up is not None:
            return self._given_up
        try:
            part = await self._read(subject, ask)
        except ExporterError as error:
            self._note(subject, error)
            return error
        subject.keep(ask, part, now)
        self._answers += 1
        self._misses = 0
        return None

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
        self._misses += 1
        tired = isinstance(error, UpstreamError) and error.heals and self._misses >= PATIENCE
        if tired or isinstance(error, HOPELESS):
            self._given_up = error
        else:
            self._faults.note(error, subject=subject.label)

    async def _read(self, subject: Subject, ask: Ask) -> Part:
        start, end = ask.window.start, ask.window.end
        ids = () if subject.id is None else (subject.id,)
        if ask.key.endpoint is Endpoint.ACTIVITY:
            activity = await self._coder.user_activity(start, end, template_ids=ids)
            if ask.additive:
                self._names.update({user.user_id: user.username for user in activity.users if user.username})
            return activity_part(activity, additive=ask.additive, name_of=self._name_of, admits=self._admits)
        if ask.key.endpoint is Endpoint.LATENCY:
            latency = await self._coder.user_latency(start, end, template_ids=ids)
            return latency_part(latency, name_of=self._name_of, admits=self._admits)
        report = await self._coder.template_insights(
            start, end, template_ids=ids, interval=ask.interval, sections=_sections(ask)
        )
        return report_part(report, ask)

    def _name_of(self, identity: str) -> str:
        return self._names.get(identity) or identity


def _sections(ask: Ask) -> tuple[Section, ...]:
    if ask.interval is None:
        return ("report",)
    return ("report", "interval_reports") if ask.report else ("interval_reports",)
