"""What is remembered of one template, or of the deployment, from poll to poll."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from insights_exporter.collectors.cadence import is_due
from insights_exporter.collectors.counters import Ledger
from insights_exporter.collectors.parts import Activity, Part, Report
from insights_exporter.collectors.plan import Ask, AskKey, Endpoint, Plan
from insights_exporter.collectors.reach import Reach, Use
from insights_exporter.snapshot import Latency, Totals, WindowUse

__all__ = ["Built", "Held", "MadeOf", "Subject"]


@dataclass(slots=True)
class Held:
    """An answer, when it was given, and until when it was known to hold."""

    ask: Ask
    part: Part
    asked_at: datetime
    good_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class MadeOf:
    """What something was built from: objects, which must be the same, and values, which must be equal."""

    objects: tuple[object, ...]
    values: tuple[object, ...]

    def __eq__(self, other: object) -> bool:
        """Say whether building again would give the same."""
        return (
            isinstance(other, MadeOf)
            and len(self.objects) == len(other.objects)
            and all(one is another for one, another in zip(self.objects, other.objects, strict=True))
            and self.values == other.values
        )

    __hash__ = None  # type: ignore[assignment]  # It holds what cannot be hashed.


@dataclass(slots=True)
class Built:
    """A value with what it was made of: while that is the same, the value stays the same object.

    ``choices`` is what its parameters alone were made of, ``activity`` and ``naming`` what its users were.
    """

    made_of: MadeOf
    choices: MadeOf
    activity: tuple[Activity, ...]
    naming: MadeOf
    value: WindowUse


@dataclass(slots=True)
class Subject:
    """The answers on one template; on the deployment where ``id`` is None."""

    id: str | None
    ledger: Ledger
    held: dict[AskKey, Held] = field(default_factory=dict)
    uses: dict[str, Built] = field(default_factory=dict)
    apps: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Name and icon of each app that it is known to have, by slug and type."""
    totals: Totals | None = None
    totals_of: MadeOf | None = None
    totals_naming: MadeOf | None = None
    totals_at: datetime | None = None
    label: str = "deployment"
    """What people call it."""
    hidden_at: datetime | None = None
    """When Coder last refused to tell anything of it; None while it tells."""

    def due(self, plan: Plan, reach: Reach, *, every: float, asked: Container[AskKey] = ()) -> list[Ask]:
        """Return what must be asked now, and note that the rest still holds; ``asked`` was just asked."""
        asks = {ask.key: ask for ask in plan.asks if self.id or ask.key.endpoint is not Endpoint.LATENCY}
        wanted = [ask for ask in asks.values() if reach.use(ask) is Use.SOME]
        if reach.use_since(self.ledger.closed_through) is Use.SOME:
            wanted += [ask for ask in plan.closed_asks(self.ledger.closed_through) if ask.key not in asks]
        due = []
        for ask in wanted:
            held = self.held.get(ask.key)
            if ask.key in asked:
                continue
            if held is None or self._stale(ask, held, plan, reach, every=every):
                due.append(ask)
            else:
                held.good_at = plan.now
        return due

    def _stale(self, ask: Ask, held: Held, plan: Plan, reach: Reach, *, every: float) -> bool:
        moved = reach.moved(ask, held.asked_at)
        if moved and ask.lively:
            return True
        # Names of apps are looked up when Coder is asked, so even a report on the past can change.
        if moved or (ask.key.endpoint is Endpoint.REPORT and ask.report):
            return is_due(self.id or "", last=held.asked_at, now=plan.now, every=every)
        return False

    def keep(self, ask: Ask, part: Part, now: datetime) -> None:
        """Take an answer; where it says what the last one said, that one stays."""
        held = self.held.get(ask.key)
        if held is not None:
            part = _as_before(part, held.part)
        self.held[ask.key] = Held(ask, part, now, now)

    def prune(self, plan: Plan, *, max_age: float) -> None:
        """Forget answers on ranges that are no longer asked for, and those too old to be believed."""
        wanted = {ask.key for ask in plan.asks}
        wanted |= {ask.key for ask in plan.closed_asks(self.ledger.closed_through)}
        for key, held in list(self.held.items()):
            if key not in wanted or (plan.now - held.good_at).total_seconds() > max_age:
                del self.held[key]

    def part(self, key: AskKey) -> Part | None:
        """Return an answer; None where there is none."""
        held = self.held.get(key)
        return None if held is None else held.part

    def report(self, key: AskKey) -> Report | None:
        """Return an answer that is a report."""
        part = self.part(key)
        return part if isinstance(part, Report) else None

    def reports(self) -> Mapping[AskKey, tuple[Ask, Report]]:
        """Return all answers that are reports."""
        return {
            key: (held.ask, held.part) for key, held in self.held.items() if isinstance(held.part, Report)
        }

    def settled(self, key: AskKey, plan: Plan) -> Part | None:
        """Return an answer on closed days if it was given after they closed."""
        held = self.held.get(key)
        if held is None or plan.last_closed_at(held.asked_at) < plan.last_closed:
            return None
        return held.part

    def close_days(self, plan: Plan, reach: Reach) -> bool:
        """Bring the ledger up to the newest closed day; return False where an answer for that is missing."""
        asks = plan.closed_asks(self.ledger.closed_through)
        if not asks:
            return True
        use = reach.use_since(self.ledger.closed_through)
        if use is Use.NONE:
            self.ledger.closed_through = plan.last_closed
            return True
        report, activity = (self.settled(ask.key, plan) for ask in asks)
        if use is Use.UNKNOWN or not isinstance(report, Report) or not isinstance(activity, Activity):
            return False
        self.ledger.close(plan.last_closed, report, activity)
        return True


def _as_before(part: Part, before: Part) -> Part:
    """Return the part before where it says the same; of a report, keep parameters that do."""
    if isinstance(part, Latency):
        # Whoever made it has compared it with the one before.
        return part
    if part == before:
        return before
    if isinstance(part, Report) and isinstance(before, Report) and part.parameters == before.parameters:
        return msgspec.structs.replace(part, parameters=before.parameters)
    return part
