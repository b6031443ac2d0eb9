"""A deployment in which everybody uses every template: answers as long as they get.

What a person did on a day is made up once, as in any generated world; in each template another person did
it. So templates differ from each other, and hundreds of them with thousands of users cost one. What Coder
says of all templates together is here what it says of the first, with all of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from insights_exporter.simulator.generated import GeneratedWorld, Size, generate
from insights_exporter.simulator.model import Workspace
from insights_exporter.simulator.report import ClientOf, Report, family_alone
from insights_exporter.simulator.usage import UserDay, minutes
from insights_exporter.simulator.world import ParameterRow, World

__all__ = ["Crowd", "crowd"]

_STRIDE = 7
"""By how many places the people of one template are moved against those of the one before."""

_Range = tuple[datetime, datetime]


@dataclass(slots=True)
class _Copy(Report):
    """A report with the users of another template; percentiles are known already."""

    percentiles: dict[int, tuple[float, float]] = field(default_factory=dict)

    def latency(self, user: int) -> tuple[float, float]:
        """Return the user's p50 and p95 in milliseconds."""
        return self.percentiles[user]


@dataclass(slots=True)
class Crowd(GeneratedWorld):
    """See the module; what was added up for one template serves all."""

    _sums: dict[_Range, _Copy] = field(default_factory=dict, repr=False)
    _chosen: dict[_Range, list[ParameterRow]] = field(default_factory=dict, repr=False)

    def use_on(self, day: date) -> Iterable[UserDay]:
        """Make up the day of everybody in the first template."""
        for user in range(len(self.users)):
            if self._works(user, day):
                yield self._spent(user, 0, day, 0)

    def report(
        self,
        start: datetime,
        end: datetime,
        *,
        now: datetime,
        templates: frozenset[str] | None = None,
        client: ClientOf = family_alone,
    ) -> Report:
        """Return a range of the first template, told of others."""
        first, found = self._first(start, end, now, client), self._found(templates)
        if not first.users:
            return Report(client=client)
        moved = _STRIDE * min(found)
        place = {user: (user + moved) % len(self.users) for user in first.users}
        return _Copy(
            client,
            templates=found,
            users=dict.fromkeys(place.values(), found),
            user_minutes={place[user]: spent for user, spent in first.user_minutes.items()},
            builtin=first.builtin,
            builtin_templates=dict.fromkeys(first.builtin, found),
            custom=first.custom,
            custom_templates=dict.fromkeys(first.custom, found),
            opens=first.opens,
            percentiles={place[user]: both for user, both in first.percentiles.items()},
        )

    def active_users(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> tuple[int, frozenset[int]]:
        """Return how many used the first template, and the templates asked for."""
        users = self._first(start, end, now, family_alone).users
        return len(users), frozenset(self._found(templates)) if users else frozenset()

    def parameters(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> list[ParameterRow]:
        """Return what was chosen in the first template, told of others."""
        key = start, min(end, now)
        if key not in self._chosen:
            # `super` would be the class before its slots were made.
            self._chosen[key] = World.parameters(self, start, end, now=now)
        ids = tuple(sorted(self.templates[place].id for place in self._found(templates)))
        return [replace(row, templates=ids) for row in self._chosen[key]]

    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return one workspace of each user."""
        now = now.astimezone(UTC)
        minute = now.hour * 60 + now.minute
        lately = minutes(minute - 120, minute + 1)
        awake = {use.user for use in self.use(now.date()) if use.used & lately}
        return [
            self._workspace(user, self.homes(user)[0], now, awake=user in awake)
            for user in range(len(self.users))
        ]

    def _first(self, start: datetime, end: datetime, now: datetime, client: ClientOf) -> _Copy:
        key = start, min(end, now)
        if key not in self._sums:
            found = _Copy(client=client)
            for day, uses in self._rolled_up(start, end, now, None):
                found.add(day, uses, self.templates)
            found.percentiles = {user: Report.latency(found, user) for user in found.users}
            self._sums[key] = found
        return self._sums[key]

    def _found(self, templates: frozenset[str] | None) -> set[int]:
        if templates is None:
            return set(range(self.active_templates))
        return set(self._places(templates))


def crowd(size: Size) -> Crowd:
    """Return a world of that size."""
    made = generate(size)
    # All templates are alike, as what is told of each was done in one.
    apps, parameters = made.templates[0].apps, made.templates[0].parameters
    templates = tuple(
        replace(one, apps=apps, parameters=parameters, former_parameters=()) for one in made.templates
    )
    return Crowd(
        made.organizations,
        templates,
        # Nobody is away for good.
        tuple(replace(one, status="active") for one in made.users),
        seed=made.seed,
        regions=made.regions,
        active_templates=made.active_templates,
    )
