"""A deployment in which every user uses every template: the largest possible responses.

The usage of the first template is generated once. Each other template has the same usage by other users, so
that hundreds of templates with thousands of users cost as much as one. The report of all templates together
is the report of the first with all template ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world
from insights_exporter.simulator.model import Workspace
from insights_exporter.simulator.rollup import ClientResolver, UsageRollup, client_from_family
from insights_exporter.simulator.usage import UserDay, minute_mask
from insights_exporter.simulator.world import ParameterRow, World

__all__ = ["DenseWorld", "dense_world"]

_USER_OFFSET = 7
"""Offset of the user index from one template to the next."""

_TimeRange = tuple[datetime, datetime]


@dataclass(slots=True)
class _ShiftedRollup(UsageRollup):
    """A rollup with shifted users and precomputed percentiles."""

    percentiles: dict[int, tuple[float, float]] = field(default_factory=dict)

    def latency(self, user: int) -> tuple[float, float]:
        """Return the user's p50 and p95 in milliseconds."""
        return self.percentiles[user]


@dataclass(slots=True)
class DenseWorld(GeneratedWorld):
    """A world whose rollups of one template serve all templates."""

    _rollup_by_range: dict[_TimeRange, _ShiftedRollup] = field(default_factory=dict, repr=False)
    _parameters_by_range: dict[_TimeRange, list[ParameterRow]] = field(default_factory=dict, repr=False)

    def usage_on(self, day: date) -> Iterable[UserDay]:
        """Generate the usage of all users in the first template."""
        for user in range(len(self.users)):
            if self._is_workday(user, day):
                yield self._user_day(user, 0, day, 0)

    def rollup(
        self,
        start: datetime,
        end: datetime,
        *,
        now: datetime,
        templates: frozenset[str] | None = None,
        client_resolver: ClientResolver = client_from_family,
    ) -> UsageRollup:
        """Return the rollup of the first template with shifted users."""
        first, template_indexes = (
            self._first_template_rollup(start, end, now, client_resolver),
            self._requested_indexes(templates),
        )
        if not first.templates_by_user:
            return UsageRollup(client_resolver=client_resolver)
        offset = _USER_OFFSET * min(template_indexes)
        shifted_user = {user: (user + offset) % len(self.users) for user in first.templates_by_user}
        return _ShiftedRollup(
            client_resolver,
            template_indexes=template_indexes,
            templates_by_user=dict.fromkeys(shifted_user.values(), template_indexes),
            user_minutes={
                shifted_user[user]: minutes_used for user, minutes_used in first.user_minutes.items()
            },
            builtin_minutes=first.builtin_minutes,
            builtin_templates=dict.fromkeys(first.builtin_minutes, template_indexes),
            custom_minutes=first.custom_minutes,
            custom_templates=dict.fromkeys(first.custom_minutes, template_indexes),
            open_counts=first.open_counts,
            percentiles={shifted_user[user]: percentiles for user, percentiles in first.percentiles.items()},
        )

    def active_users(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> tuple[int, frozenset[int]]:
        """Return the users of the first template, and the requested templates."""
        users = self._first_template_rollup(start, end, now, client_from_family).templates_by_user
        return len(users), frozenset(self._requested_indexes(templates)) if users else frozenset()

    def parameters(
        self, start: datetime, end: datetime, *, now: datetime, templates: frozenset[str] | None = None
    ) -> list[ParameterRow]:
        """Return the parameters of the first template with the ids of the requested ones."""
        key = start, min(end, now)
        if key not in self._parameters_by_range:
            # `super()` fails in dataclasses with slots, which are created twice.
            self._parameters_by_range[key] = World.parameters(self, start, end, now=now)
        ids = tuple(sorted(self.templates[index].id for index in self._requested_indexes(templates)))
        return [replace(row, templates=ids) for row in self._parameters_by_range[key]]

    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return one workspace per user."""
        now = now.astimezone(UTC)
        minute = now.hour * 60 + now.minute
        recent_mask = minute_mask(minute - 120, minute + 1)
        active_users = {
            user_day.user for user_day in self.usage(now.date()) if user_day.active_mask & recent_mask
        }
        return [
            self._workspace(user, self.templates_of(user)[0], now, is_active=user in active_users)
            for user in range(len(self.users))
        ]

    def _first_template_rollup(
        self, start: datetime, end: datetime, now: datetime, client_resolver: ClientResolver
    ) -> _ShiftedRollup:
        key = start, min(end, now)
        if key not in self._rollup_by_range:
            result = _ShiftedRollup(client_resolver=client_resolver)
            for day, user_days in self._visible_usage(start, end, now, None):
                result.add_day(day, user_days, self.templates)
            result.percentiles = {
                user: UsageRollup.latency(result, user) for user in result.templates_by_user
            }
            self._rollup_by_range[key] = result
        return self._rollup_by_range[key]

    def _requested_indexes(self, templates: frozenset[str] | None) -> set[int]:
        if templates is None:
            return set(range(self.active_templates))
        return set(self._template_indexes(templates))


def dense_world(size: Size) -> DenseWorld:
    """Return a world of that size."""
    base_world = generate_world(size)
    # All templates have the apps and parameters of the first, whose usage they share.
    apps, parameters = base_world.templates[0].apps, base_world.templates[0].parameters
    templates = tuple(
        replace(item, apps=apps, parameters=parameters, previous_parameters=())
        for item in base_world.templates
    )
    return DenseWorld(
        base_world.organizations,
        templates,
        # Every user is active.
        tuple(replace(item, status="active") for item in base_world.users),
        seed=base_world.seed,
        regions=base_world.regions,
        active_templates=base_world.active_templates,
    )
