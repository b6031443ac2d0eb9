"""A world from a list of usage spans: the input of the recorded responses of a real Coder."""

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
    Organization,
    Parameter,
    ParameterOption,
    Template,
    User,
    Workspace,
)
from insights_exporter.simulator.usage import (
    SESSION_FAMILIES,
    TERMINAL_SLUG,
    UserDay,
    minute_mask,
    split_days,
)
from insights_exporter.simulator.world import World

__all__ = ["ScenarioWorld", "load_scenario"]

_ORGANIZATION = Organization("22222222-2222-4222-8222-222222222222", "coder", "Coder", is_default=True)
_ORDINALS = {"1": "first", "2": "second", "3": "third", "4": "fourth"}

_MasksByUserDay = dict[tuple[date, int, int], dict[str, int]]


@dataclass(slots=True)
class ScenarioWorld(World):
    """A world with recorded usage."""

    usage_by_day: Mapping[date, Sequence[UserDay]] = field(default_factory=dict)
    recorded_builds: Sequence[Build] = ()

    def usage_on(self, day: date) -> Iterable[UserDay]:
        """Return the recorded usage of the day."""
        return self.usage_by_day.get(day, ())

    def workspaces(self, now: datetime) -> Sequence[Workspace]:  # noqa: ARG002 # Nothing changes.
        """Return one stopped workspace per user and template with builds."""
        owners = {user.username: user for user in self.users}
        result = {}
        for build in self.recorded_builds:
            owner, _, name = build.workspace_id.partition("/")
            template_index = self.templates.index(build.template)
            workspace_id, _ = self.workspace_ids(template_index, self.users.index(owners[owner]))
            result[build.workspace_id] = Workspace(
                workspace_id, name, owners[owner], build.template, "stopped", "stop", build.created_at
            )
        return tuple(result.values())

    def builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Return the recorded builds of the range."""
        return (
            build
            for build in self.recorded_builds
            if start <= build.created_at < end
            and (templates is None or self.templates.index(build.template) in templates)
        )

    def last_seen(self, user: int, now: datetime) -> datetime | None:  # noqa: ARG002 # As above.
        """Return None: the recording has no such times."""
        return None


def load_scenario(path: Path, *, built_at: datetime) -> ScenarioWorld:
    """Return the world of a scenario file with all builds created at ``built_at``."""
    scenario: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    templates = tuple(_parse_template(item, scenario["parameter_builds"]) for item in scenario["templates"])
    users = tuple(
        User(item["id"], item["username"], (_ORGANIZATION.id,), email=f"{item['username']}@example.test")
        for item in scenario["users"]
    )
    builds = [
        Build(_template_by_id(templates, item["template"]), item["workspace"], 1, built_at, item["values"])
        for item in scenario["parameter_builds"]
    ]
    return ScenarioWorld(
        (_ORGANIZATION,),
        templates,
        users,
        usage_by_day=_parse_spans(scenario, templates, users),
        recorded_builds=builds,
    )


def _template_by_id(templates: tuple[Template, ...], template_id: str) -> Template:
    return next(template for template in templates if template.id == template_id)


def _parse_template(data: dict[str, Any], builds: list[dict[str, Any]]) -> Template:
    template_id: str = data["id"]
    is_other_template = data["name"] == "othertemplate"
    names = {name for build in builds if build["template"] == template_id for name in build["values"]}
    return Template(
        template_id,
        _ORGANIZATION,
        data["name"],
        template_id.replace("00000000-", "33333333-", 1),
        apps=tuple(App(slug, slug, icon) for slug, icon in data["apps"]),
        parameters=tuple(
            Parameter(
                name,
                display_name=name,
                description="This is another parameter"
                if is_other_template
                else f"This is {_ORDINALS[name[-1]]} parameter",
                options=(ParameterOption("option1", "option1"), ParameterOption("option2", "option2"))
                if name == "param4"
                else (),
            )
            for name in sorted(names)
        ),
    )


def _parse_spans(
    scenario: dict[str, Any], templates: tuple[Template, ...], users: tuple[User, ...]
) -> dict[date, list[UserDay]]:
    template_indexes = {item.id: key_part for key_part, item in enumerate(templates)}
    user_indexes = {item.id: key_part for key_part, item in enumerate(users)}
    session_masks: _MasksByUserDay = defaultdict(lambda: defaultdict(int))
    app_masks: _MasksByUserDay = defaultdict(lambda: defaultdict(int))
    for span in scenario["agent_spans"]:
        key_part = template_indexes[span["template"]], user_indexes[span["user"]]
        # Agents report every 30 seconds before the end, so the last started minute counts.
        for day, first, last in _span_days(span["start"], span["end"]):
            for family in SESSION_FAMILIES:
                if span.get(family) and span["connection_count"]:
                    session_masks[day, *key_part][family] |= minute_mask(first, last)
    for span in scenario["app_spans"]:
        key_part = template_indexes[span["template"]], user_indexes[span["user"]]
        for day, first, last in _span_days(span["start"], span["end"]):
            app_masks[day, *key_part][span["slug"] or TERMINAL_SLUG] |= minute_mask(first, last)
    days: dict[date, list[UserDay]] = defaultdict(list)
    for day, template, user in sorted({*session_masks, *app_masks}):
        key = day, template, user
        days[day].append(
            UserDay(template, user, dict(session_masks.get(key, {})), dict(app_masks.get(key, {})))
        )
    return days


def _span_days(start: str, end: str) -> Iterable[tuple[date, int, int]]:
    first = datetime.fromisoformat(start).replace(second=0)
    last = datetime.fromisoformat(end) - timedelta(microseconds=1)
    return split_days(first, last.replace(second=0, microsecond=0) + timedelta(minutes=1))
