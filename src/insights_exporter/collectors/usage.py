"""From what is held of a template to what the snapshot says of it; unchanged parts stay the same objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC

import msgspec

from insights_exporter.coder.windows import Window
from insights_exporter.collectors.moves import Moves
from insights_exporter.collectors.names import Names
from insights_exporter.collectors.parts import (
    BUILTIN,
    NO_ACTIVITY,
    NO_LATENCY,
    NO_REPORT,
    Activity,
    Part,
    Report,
    add,
    by_name,
)
from insights_exporter.collectors.plan import Ask, Endpoint, Plan
from insights_exporter.collectors.reach import Reach, Use
from insights_exporter.collectors.subject import Built, MadeOf, Subject
from insights_exporter.snapshot import (
    AppUse,
    Latency,
    Parameter,
    ParameterOption,
    ParameterUse,
    TemplateKey,
    TemplateUse,
    Totals,
    WindowUse,
)

__all__ = ["KnownApps", "UsageBuilder"]

KnownApps = Mapping[tuple[str, str], tuple[str, str]]
"""Name and icon to show for an app, by slug and type."""

NONE: Mapping[Endpoint, Part] = {
    Endpoint.REPORT: NO_REPORT,
    Endpoint.ACTIVITY: NO_ACTIVITY,
    Endpoint.LATENCY: NO_LATENCY,
}
LIST = "list(string)"


@dataclass(frozen=True, slots=True)
class UsageBuilder:
    """Builds the uses of one poll.

    ``names`` tells what user ids go by; users whom ``admits`` refuses count in sums only, it is None where
    all are admitted. ``corrected`` hears how many totals have newly fallen.
    """

    plan: Plan
    names: Names
    admits: Callable[[str], bool] | None
    corrected: Callable[[int], None]
    max_staleness: float
    moves: Moves = field(default_factory=Moves)

    def build(
        self,
        subject: Subject,
        reach: Reach,
        *,
        key: TemplateKey | None,
        apps: KnownApps,
        parameters: Sequence[Parameter] = (),
    ) -> TemplateUse:
        """Return all that is known of a template, or of the deployment where ``key`` is None."""
        known = self._known_apps(subject, apps)
        uses = (self._window(window, subject, reach, known, parameters) for window in self.plan.windows)
        return TemplateUse(
            key=key,
            windows=tuple(use for use in uses if use is not None),
            days=self._counts(self.plan.days, subject, reach),
            weeks=self._counts(self.plan.weeks, subject, reach),
            totals=self._totals(subject, reach, known),
        )

    # Windows

    def _part(self, ask: Ask, subject: Subject, reach: Reach) -> Part | None:
        endpoint = ask.key.endpoint
        if subject.id is None and endpoint is Endpoint.LATENCY:
            return NO_LATENCY
        if reach.use(ask) is Use.NONE:
            return NONE[endpoint]
        return subject.part(ask.key)

    def _window(
        self,
        window: Window,
        subject: Subject,
        reach: Reach,
        known: KnownApps,
        parameters: Sequence[Parameter],
    ) -> WindowUse | None:
        asked = self.plan.parts[window]
        report = self._part(asked.report, subject, reach)
        latency = self._part(asked.latency, subject, reach)
        activity = _activity([self._part(ask, subject, reach) for ask in asked.activity])
        if not isinstance(report, Report) or not isinstance(latency, Latency) or activity is None:
            subject.uses.pop(window.name, None)
            return None
        made_of = MadeOf((report, *activity, latency, known), (window.start, parameters))
        built = subject.uses.get(window.name)
        if built is not None and built.made_of == made_of:
            return built.value
        choices, naming = MadeOf((report.parameters,), (parameters,)), self._naming
        users, seconds = self._users(built, activity)
        use = WindowUse(
            window=window.name,
            start=window.start.astimezone(UTC),
            end=window.end.astimezone(UTC),
            active_users=report.active_users,
            seconds=seconds,
            apps=_with_unused_apps(report.apps, known),
            parameters=built.value.parameters
            if built is not None and built.choices == choices
            else _with_unchosen_options(report.parameters, parameters),
            activity=users,
            latency=latency,
        )
        subject.uses[window.name] = Built(made_of, choices, activity, naming, use)
        return use

    def _counts(self, ask: Ask, subject: Subject, reach: Reach) -> tuple[int | None, ...]:
        if reach.use(ask) is Use.NONE:
            return (0,) * ask.intervals
        part = subject.part(ask.key)
        return part.counts if isinstance(part, Report) else ()

    def _known_apps(self, subject: Subject, apps: KnownApps) -> KnownApps:
        """Return all apps that the subject is known to have; the same object while they are the same."""
        known = {(slug, "builtin"): shown for slug, shown in BUILTIN.items()} | dict(apps)
        for _, report in subject.reports().values():
            for app in report.apps:
                known.setdefault((app.slug, app.type), (app.display_name, app.icon))
        for key in subject.ledger.used_apps():
            # Its name is in no answer of now, but may have been in an earlier one.
            known.setdefault(key, subject.apps.get(key, (key[0], "")))
        if known != subject.apps:
            subject.apps = known
        return subject.apps

    # Totals

    def _totals(self, subject: Subject, reach: Reach, known: KnownApps) -> Totals | None:
        """Return the totals; where a part is missing those of an earlier poll, while not too old."""
        closed = subject.close_days(self.plan, reach)
        asked = [self.plan.parts[day] for day in self.plan.open_days]
        parts = [
            tuple(self._part(ask, subject, reach) for ask in (day.report, *day.activity)) for day in asked
        ]
        open_days = [
            (report, activity)
            for report, activity in parts
            if isinstance(report, Report) and isinstance(activity, Activity)
        ]
        if not closed or len(open_days) < len(parts):
            return self._last_totals(subject)
        subject.totals_at = self.plan.now
        ledger = subject.ledger
        made_of = MadeOf(
            (known, ledger, *(one for day in open_days for one in day)), (ledger.closed_through,)
        )
        if subject.totals is not None and not ledger.begun and subject.totals_of == made_of:
            return subject.totals
        found = ledger.total(open_days, known_apps=known, moves=self.moves)
        if found.fallen:
            self.corrected(found.fallen)
        before, naming = subject.totals, self._naming
        if found.steps is None or before is None or subject.totals_naming != naming:
            served = ledger.served_users.served
            users = self._admitted(by_name(served, ledger.roll.call(served, self.names)))
        else:
            users = self._moved(before.users, found.steps)
        subject.totals = Totals(since=ledger.since, seconds=found.seconds, apps=found.apps, users=users)
        subject.totals_of, subject.totals_naming = made_of, naming
        return subject.totals

    def _last_totals(self, subject: Subject) -> Totals | None:
        at = subject.totals_at
        if at is not None and (self.plan.now - at).total_seconds() > self.max_staleness:
            subject.totals, subject.totals_of, subject.totals_at = None, None, None
        return subject.totals

    # Users

    @property
    def _naming(self) -> MadeOf:
        """What decides under which names users appear, if at all."""
        return MadeOf((self.names.edition,), (self.admits,))

    def _users(self, built: Built | None, activity: tuple[Activity, ...]) -> tuple[dict[str, float], float]:
        """Return the time of each user by name, and that of all."""
        if built is not None and built.naming == self._naming:
            moved = self.moves.between(built.activity, activity)
            if moved is not None:
                users = self._moved(built.value.activity, moved)
                return users, built.value.seconds + sum(moved.values())
        users = self._together(activity)
        return self._admitted(users), sum(users.values())

    def _moved(self, before: Mapping[str, float], moved: Mapping[str, float]) -> dict[str, float]:
        """Return the times of before with those added by which they moved."""
        users, admits = dict(before), self.admits
        for identity, seconds in moved.items():
            name = self.names.of(identity)
            if admits is None or admits(name):
                users[name] = users.get(name, 0.0) + seconds
        return users

    def _together(self, parts: Sequence[Activity]) -> dict[str, float]:
        """Return the time of each user, by name, in all of the parts."""
        users = parts[0].by_name(self.names)
        for part in parts[1:]:
            add(users, part.by_name(self.names).items())
        return users

    def _admitted(self, users: dict[str, float]) -> dict[str, float]:
        admits = self.admits
        return users if admits is None else {name: users[name] for name in users if admits(name)}


def _activity(parts: Sequence[Part | None]) -> tuple[Activity, ...] | None:
    """Return the parts where none is missing."""
    found = tuple([part for part in parts if isinstance(part, Activity)])
    return found if len(found) == len(parts) else None


def _with_unused_apps(apps: Sequence[AppUse], known: KnownApps) -> tuple[AppUse, ...]:
    """Return the apps of a window, and the known ones without use as 0."""
    used = {(app.slug, app.type) for app in apps}
    unused = (
        AppUse(slug, kind, 0.0, 0, display_name, icon)
        for (slug, kind), (display_name, icon) in sorted(known.items())
        if (slug, kind) not in used
    )
    return (*apps, *unused)


def _with_unchosen_options(
    chosen: Sequence[ParameterUse], declared: Iterable[Parameter]
) -> tuple[ParameterUse, ...]:
    """Return the parameters of a window, and each declared option that nobody chose as 0."""
    uses = {(use.name, use.type): use for use in chosen}
    for one in declared:
        known = uses.get((one.name, one.type), ParameterUse(one.name, one.type, one.display_name, {}))
        if not one.options and (one.name, one.type) not in uses:
            continue
        options = {option.value: option for option in (*known.options, *one.options)}
        uses[one.name, one.type] = msgspec.structs.replace(known, options=tuple(options.values()))
    return tuple(
        msgspec.structs.replace(use, values=_values(use.values, use.options, use.type))
        for use in uses.values()
    )


def _values(values: Mapping[str, int], options: Sequence[ParameterOption], kind: str) -> dict[str, int]:
    counts = {option.value: 0 for option in options}
    for value, count in values.items():
        # A choice of several options is one text; each of them was chosen.
        for one in _elements(value) if kind == LIST and options else (value,):
            counts[one] = counts.get(one, 0) + count
    return counts


def _elements(value: str) -> tuple[str, ...]:
    try:
        found = json.loads(value)
    except ValueError:
        return (value,)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return (value,)
    return tuple(dict.fromkeys(found))
