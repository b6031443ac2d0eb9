"""The table of usage by template and app in one period, and which of its cells must be withheld."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Final, cast

from insights_exporter.cell_suppression import (
    computable_cells,
    describes_too_few,
    sum_of_largest,
    with_complementary_cells,
)
from insights_exporter.snapshot import TemplateKey

__all__ = ["AppId", "Usage", "UsageTable", "WithheldUsage"]

AppId = tuple[str, str]
"""Slug and type of an app."""

_TOTAL: Final = "total"
_UNLISTED: Final = "unlisted"
_TOLERANCE: Final = 0.5
"""Coder counts whole minutes, so smaller differences of seconds are errors of floating-point numbers."""


@dataclass(frozen=True, eq=False)
class Usage:
    """Usage of a template, or of all, in a period: ``seconds`` of all users, and of each exported one."""

    people: int
    seconds: float = 0.0
    apps: Mapping[AppId, float] = field(default_factory=dict)
    seconds_by_user: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def unknown_seconds(self) -> float:
        """The seconds of filtered users."""
        rest = self.seconds - sum(self.seconds_by_user.values())
        return rest if rest > _TOLERANCE else 0.0

    @cached_property
    def amounts(self) -> list[float]:
        """The seconds by person; all filtered users count as one person, which is the worst case."""
        return [*(seconds for seconds in self.seconds_by_user.values() if seconds > 0), self.unknown_seconds]

    def minus(self, other: Usage) -> Usage:
        """Return the usage in this period, but outside of a shorter one."""
        seconds_by_user = {
            user: rest
            for user, seconds in self.seconds_by_user.items()
            if (rest := seconds - other.seconds_by_user.get(user, 0.0)) > _TOLERANCE
        }
        apps = {app: seconds - other.apps.get(app, 0.0) for app, seconds in self.apps.items()}
        seconds = max(0.0, self.seconds - other.seconds)
        people = max(len(seconds_by_user), self.people - other.people)
        return Usage(people, seconds, apps, seconds_by_user)

    @property
    def used_apps(self) -> set[AppId]:
        """The apps that anyone used."""
        return {app for app, seconds in self.apps.items() if seconds > 0}

    def unproven_apps(self, min_group_size: int) -> set[AppId]:
        """Return the apps that fewer people than the minimum may have used.

        Coder does not say who used an app. But nobody uses an app for longer than they are active, so seconds
        above those of the most active people are the use of more people.
        """
        limit = sum_of_largest(self.amounts, min_group_size)
        return {app for app, seconds in self.apps.items() if 0 < seconds <= limit + _TOLERANCE}


@dataclass(frozen=True, slots=True)
class WithheldUsage:
    """The templates and apps to withhold; a template of None is the deployment, an app of None all usage."""

    cells: frozenset[tuple[TemplateKey | None, AppId | None]] = frozenset()

    def hides(self, key: TemplateKey | None) -> bool:
        """Return whether all usage of a template is withheld."""
        return (key, None) in self.cells

    def hides_app(self, key: TemplateKey | None, app: AppId) -> bool:
        """Return whether the usage of an app in a template is withheld."""
        return (key, app) in self.cells


@dataclass(frozen=True, eq=False)
class UsageTable:
    """Usage by template and app in a period, with totals by template, by app, and of the deployment.

    ``deployment`` is None if no total is published. ``differences`` has the usage that follows from a longer
    period minus this one, by template and for the deployment (None).
    """

    deployment: Usage | None
    templates: Mapping[TemplateKey, Usage]
    min_group_size: int
    differences: Mapping[TemplateKey | None, Collection[Usage]] = field(default_factory=dict)

    def withheld(self) -> WithheldUsage:
        """Return which cells to withhold, so that no published numbers give one about too few people."""
        templates = self._withheld_templates()
        cells: set[tuple[TemplateKey | None, AppId | None]] = {(key, None) for key in templates}
        if self.deployment is not None and self._hides_deployment(templates):
            cells.add((None, None))
            table = replace(self, deployment=None)
        else:
            table = self
        cells |= table._withheld_apps(templates)
        return WithheldUsage(frozenset(cells))

    # Templates

    def _is_small(self, key: TemplateKey | None, usage: Usage) -> bool:
        return any(
            describes_too_few(one.people, self.min_group_size)
            for one in (usage, *self.differences.get(key, ()))
        )

    def _withheld_templates(self) -> frozenset[TemplateKey]:
        primary = {key for key, usage in self.templates.items() if self._is_small(key, usage)}
        if self.deployment is None:
            return frozenset(primary)
        sizes = {key: float(usage.people) for key, usage in self.templates.items()}
        return with_complementary_cells(primary, sizes, self._people_in, self.min_group_size)

    def _hides_deployment(self, templates: Collection[TemplateKey]) -> bool:
        """Return whether the totals are withheld: they describe too few people, or give the rest away."""
        if self.deployment is None or self._is_small(None, self.deployment):
            return True
        return describes_too_few(self._people_in(templates), self.min_group_size)

    def _people_in(self, templates: Collection[TemplateKey]) -> int:
        """Return the least number of people in the total minus the published templates."""
        usages = [self.templates[key] for key in templates]
        users = set(self._unlisted_users).union(*(_active_users(usage) for usage in usages))
        return max(len(users), *(usage.people for usage in usages), 0)

    @cached_property
    def _unlisted_seconds(self) -> dict[str, float]:
        """Return the seconds by user in templates that are excluded or deleted, which only the total has."""
        if self.deployment is None:
            return {}
        rest = dict(self.deployment.seconds_by_user)
        for usage in self.templates.values():
            for user, seconds in usage.seconds_by_user.items():
                if user in rest:
                    rest[user] -= seconds
        return {user: seconds for user, seconds in rest.items() if seconds > _TOLERANCE}

    @property
    def _unlisted_users(self) -> AbstractSet[str]:
        return self._unlisted_seconds.keys()

    # Apps

    def _withheld_apps(
        self, templates: Collection[TemplateKey]
    ) -> set[tuple[TemplateKey | None, AppId | None]]:
        rows = {
            key: self._withheld_apps_of(key, usage, frozenset())
            for key, usage in self.templates.items()
            if key not in templates
        }
        cells: set[tuple[TemplateKey | None, AppId | None]] = {
            (key, app) for key, apps in rows.items() for app in apps
        }
        if self.deployment is None:
            return cells
        incomplete = self._incomplete_columns(templates, rows)
        exposed = frozenset(app for app, keys in incomplete.items() if not self._is_rest_shared(app, keys))
        # If sums over rows and columns still give a cell, publish no total of an app with withheld cells.
        for totals in (exposed, frozenset(incomplete), frozenset(self.deployment.apps)):
            withheld_totals = self._withheld_apps_of(None, self.deployment, totals)
            if not self._has_computable_cell(templates, rows, withheld_totals):
                break
        return cells | {(None, app) for app in withheld_totals}

    def _withheld_apps_of(
        self, key: TemplateKey | None, usage: Usage, exposed: AbstractSet[AppId]
    ) -> frozenset[AppId]:
        """Return the apps to withhold in a row whose total is published; ``exposed`` are withheld anyway."""
        unproven = self._unproven_apps[key]
        primary = {*unproven, *exposed}
        for difference in self.differences.get(key, ()):
            primary |= difference.unproven_apps(self.min_group_size) & usage.apps.keys()
        limit = sum_of_largest(usage.amounts, self.min_group_size)

        def people_in(apps: Collection[AppId]) -> int:
            if not apps:
                return 0
            if any(app not in unproven for app in apps):
                return self.min_group_size
            published = sum(seconds for app, seconds in usage.apps.items() if app not in apps)
            if not published:
                return usage.people
            rest = max(usage.seconds - published, *(usage.apps[app] for app in apps))
            return self.min_group_size if rest > limit + _TOLERANCE else 1

        return with_complementary_cells(primary & usage.used_apps, usage.apps, people_in, self.min_group_size)

    @cached_property
    def _unproven_apps(self) -> Mapping[TemplateKey | None, AbstractSet[AppId]]:
        """The apps that too few people may have used, by template and of the deployment (None).

        Enough people of a template are also enough people of the deployment.
        """
        by_key: dict[TemplateKey | None, AbstractSet[AppId]] = {}
        proven: set[AppId] = set()
        for key, usage in self.templates.items():
            by_key[key] = usage.unproven_apps(self.min_group_size)
            proven |= usage.used_apps - by_key[key]
        if self.deployment is not None:
            by_key[None] = self.deployment.unproven_apps(self.min_group_size) - proven
        return by_key

    def _incomplete_columns(
        self, templates: Collection[TemplateKey], rows: Mapping[TemplateKey, Collection[AppId]]
    ) -> dict[AppId, list[TemplateKey]]:
        """Return the templates whose usage of an app is withheld, for each app of the deployment with any."""
        columns: dict[AppId, list[TemplateKey]] = {}
        for key, usage in self.templates.items():
            for app, seconds in usage.apps.items():
                if seconds > 0 and (key in templates or app in rows.get(key, ())):
                    columns.setdefault(app, []).append(key)
        for app in self._unlisted_app_seconds:
            columns.setdefault(app, [])
        totals = {} if self.deployment is None else self.deployment.apps
        return {app: keys for app, keys in columns.items() if totals.get(app, 0.0) > 0}

    def _is_rest_shared(self, app: AppId, keys: Collection[TemplateKey]) -> bool:
        """Return whether an app's total minus its published cells is certainly the use of enough people."""
        rest = self._unlisted_app_seconds.get(app, 0.0)
        amounts = dict(self._unlisted_seconds) if rest else {}
        unknown: list[float] = []
        for key in keys:
            usage = self.templates[key]
            rest += usage.apps[app]
            for user, seconds in usage.seconds_by_user.items():
                amounts[user] = amounts.get(user, 0.0) + min(seconds, usage.apps[app])
            unknown.append(min(usage.apps[app], usage.unknown_seconds))
        limit = sum_of_largest(chain(amounts.values(), [sum(unknown)]), self.min_group_size)
        return rest > limit + _TOLERANCE

    @cached_property
    def _unlisted_app_seconds(self) -> dict[AppId, float]:
        """The seconds by app in templates that are excluded or deleted, which only the totals have."""
        totals = {} if self.deployment is None else self.deployment.apps
        listed = {app: sum(usage.apps.get(app, 0.0) for usage in self.templates.values()) for app in totals}
        return {app: rest for app, total in totals.items() if (rest := total - listed[app]) > _TOLERANCE}

    # Sums over rows and columns

    def _has_computable_cell(
        self,
        templates: Collection[TemplateKey],
        rows: Mapping[TemplateKey, Collection[AppId]],
        withheld_totals: Collection[AppId],
    ) -> bool:
        """Return whether any withheld number about too few people follows from sums over rows and columns."""
        cells = set(self._graph(templates, rows, withheld_totals))
        return any(self._is_secret(row, app) for (_, row), (_, app) in computable_cells(cells))

    def _is_secret(self, row: Hashable, app: Hashable) -> bool:
        """Return whether a cell describes too few people, or may do so."""
        if row == _UNLISTED:
            usage: Usage | None = self._unlisted
            unproven: AbstractSet[Hashable] = self._unlisted.unproven_apps(self.min_group_size)
        else:
            key = None if row == _TOTAL else cast("TemplateKey", row)
            usage = self.deployment if key is None else self.templates[key]
            unproven = self._unproven_apps[key]
        if usage is None:
            return False
        if app == _TOTAL:
            return describes_too_few(usage.people, self.min_group_size)
        # The only app of a template has the seconds of the template.
        return app in unproven and len(usage.used_apps) > 1

    @property
    def _unlisted(self) -> Usage:
        users = self._unlisted_seconds
        return Usage(len(users), sum(users.values()), self._unlisted_app_seconds, users)

    def _graph(
        self,
        templates: Collection[TemplateKey],
        rows: Mapping[TemplateKey, Collection[AppId]],
        withheld_totals: Collection[AppId],
    ) -> Iterator[tuple[tuple[str, Hashable], tuple[str, Hashable]]]:
        """Yield the withheld cells as pairs of row and column, with a row and a column of totals."""
        for key, usage in self.templates.items():
            withheld = usage.apps.keys() if key in templates else rows[key]
            yield from ((("row", key), ("column", app)) for app in withheld if usage.apps[app] > 0)
            if key in templates:
                yield ("row", key), ("column", _TOTAL)
        if self._unlisted_users:
            yield ("row", _UNLISTED), ("column", _TOTAL)
        yield from ((("row", _UNLISTED), ("column", app)) for app in self._unlisted_app_seconds)
        yield from ((("row", _TOTAL), ("column", app)) for app in withheld_totals)


def _active_users(usage: Usage) -> set[str]:
    return {user for user, seconds in usage.seconds_by_user.items() if seconds > 0}
