"""A world told by a list of spans, as the recorded answers of a real Coder were made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from insights_exporter.simulator.model import (
    App,
    Build,
    Option,
    Organization,
    Parameter,
    Template,
    User,
    Workspace,
)
from insights_exporter.simulator.usage import TERMINAL, UserDay, minutes, split_days
from insights_exporter.simulator.world import World

__all__ = ["ScenarioWorld", "load_scenario"]

_ORGANIZATION = Organization("22222222-2222-4222-8222-222222222222", "coder", "Coder", is_default=True)
_FAMILIES = ("vscode", "jetbrains", "reconnecting_pty", "ssh")
_ORDINALS = {"1": "first", "2": "second", "3": "third", "4": "fourth"}

_Masks = dict[tuple[date, int, int], dict[str, int]]


@dataclass(slots=True)
class ScenarioWorld(World):
    """A world whose use is written down."""

    spans: Mapping[date, Sequence[UserDay]] = field(default_factory=dict)
    written_builds: Sequence[Build] = ()

    def use_on(self, day: date) -> Iterable[UserDay]:
        """Return what is written for the day."""
        return self.spans.get(day, ())

    def workspaces(self, now: datetime) -> Sequence[Workspace]:  # noqa: ARG002 - they never change.
        """Return one stopped workspace per user and template with builds."""
        owners = {user.username: user for user in self.users}
        found = {}
        for build in self.written_builds:
            owner, _, name = build.workspace_id.partition("/")
            place = self.templates.index(build.template)
            identity, _ = self.workspace_ids(place, self.users.index(owners[owner]))
            found[build.workspace_id] = Workspace(
                identity, name, owners[owner], build.template, "stopped", "stop", build.created_at
            )
        return tuple(found.values())

    def builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Return what is written for the range."""
        return (
            build
            for build in self.written_builds
            if start <= build.created_at < end
            and (templates is None or self.templates.index(build.template) in templates)
        )

    def last_seen(self, user: int, now: datetime) -> datetime | None:  # noqa: ARG002 - not written.
        """Return nothing, as nothing is written of it."""
        return None


def load_scenario(path: Path, *, built_at: datetime) -> ScenarioWorld:
    """Return the world of a scenario file; all its builds are created at ``built_at``."""
    told: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    templates = tuple(_template(one, told["parameter_builds"]) for one in told["templates"])
    users = tuple(
        User(one["id"], one["username"], (_ORGANIZATION.id,), email=f"{one['username']}@example.test")
        for one in told["users"]
    )
    builds = [
        Build(_by_id(templates, one["template"]), one["workspace"], 1, built_at, one["values"])
        for one in told["parameter_builds"]
    ]
    return ScenarioWorld(
        (_ORGANIZATION,), templates, users, spans=_days(told, templates, users), written_builds=builds
    )


def _by_id(templates: tuple[Template, ...], identity: str) -> Template:
    return next(one for one in templates if one.id == identity)


def _template(told: dict[str, Any], builds: list[dict[str, Any]]) -> Template:
    identity: str = told["id"]
    other = told["name"] == "othertemplate"
    names = {name for one in builds if one["template"] == identity for name in one["values"]}
    return Template(
        identity,
        _ORGANIZATION,
        told["name"],
        identity.replace("00000000-", "33333333-", 1),
        apps=tuple(App(slug, slug, icon) for slug, icon in told["apps"]),
        parameters=tuple(
            Parameter(
                name,
                display_name=name,
                description="This is another parameter"
                if other
                else f"This is {_ORDINALS[name[-1]]} parameter",
                options=(Option("option1", "option1"), Option("option2", "option2"))
                if name == "param4"
                else (),
            )
            for name in sorted(names)
        ),
    )


def _days(
    told: dict[str, Any], templates: tuple[Template, ...], users: tuple[User, ...]
) -> dict[date, list[UserDay]]:
    template_places = {one.id: place for place, one in enumerate(templates)}
    user_places = {one.id: place for place, one in enumerate(users)}
    agent: _Masks = defaultdict(lambda: defaultdict(int))
    apps: _Masks = defaultdict(lambda: defaultdict(int))
    for span in told["agent_spans"]:
        place = template_places[span["template"]], user_places[span["user"]]
        # Reports come every half minute before the end, so the last begun minute counts.
        for day, first, last in _touched(span["start"], span["end"]):
            for family in _FAMILIES:
                if span.get(family) and span["connection_count"]:
                    agent[day, *place][family] |= minutes(first, last)
    for span in told["app_spans"]:
        place = template_places[span["template"]], user_places[span["user"]]
        for day, first, last in _touched(span["start"], span["end"]):
            apps[day, *place][span["slug"] or TERMINAL] |= minutes(first, last)
    days: dict[date, list[UserDay]] = defaultdict(list)
    for day, template, user in sorted({*agent, *apps}):
        key = day, template, user
        days[day].append(UserDay(template, user, dict(agent.get(key, {})), dict(apps.get(key, {}))))
    return days


def _touched(start: str, end: str) -> Iterable[tuple[date, int, int]]:
    first = datetime.fromisoformat(start).replace(second=0)
    last = datetime.fromisoformat(end) - timedelta(microseconds=1)
    return split_days(first, last.replace(second=0, microsecond=0) + timedelta(minutes=1))
