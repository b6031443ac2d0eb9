"""The gauges of insights: what happened in the five minutes before coderd last computed them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from insights_exporter.simulator.coderd.vector import Vector
from insights_exporter.simulator.model import AgentReport, Build, Template
from insights_exporter.simulator.usage import BUILTIN, TERMINAL, minutes, split_days
from insights_exporter.simulator.world import World

__all__ = ["WINDOW", "insights"]

WINDOW = timedelta(minutes=5)

_SHOWN = {
    "vscode": "Visual Studio Code",
    "jetbrains": "JetBrains",
    "reconnecting_pty": "Web Terminal",
    "ssh": "SSH",
}


def insights(
    world: World, at: datetime, *, organizations: bool, reports: Iterable[AgentReport]
) -> list[Vector]:
    """Return the families as computed at a moment, from the reports of the window before it.

    Without ``organizations``, as in older releases, templates of one name collide.
    """
    start = at - WINDOW

    def labels(template: Template) -> tuple[str, ...]:
        return (template.organization.name, template.name) if organizations else (template.name,)

    names = ("organization_name", "template_name") if organizations else ("template_name",)
    usage = Vector(
        "coderd_insights_applications_usage_seconds",
        "The application usage per template.",
        (*names, "application_name", "slug"),
    )
    users = Vector(
        "coderd_insights_templates_active_users", "The number of active users of the template.", names
    )
    parameters = Vector(
        "coderd_insights_parameters",
        "The parameter usage per template.",
        (*names, "parameter_name", "parameter_type", "parameter_value"),
    )
    _agent_use(world, reports, usage, users, labels)
    _app_use(world, start, at, usage, labels)
    templates = {one.id: one for one in world.templates}
    for (identity, *rest), count in _parameters(world.builds(start, at)).items():
        parameters.once(count, *labels(templates[identity]), *rest)
    return [usage, users, parameters]


def _agent_use(
    world: World,
    reports: Iterable[AgentReport],
    usage: Vector,
    users: Vector,
    labels: Callable[[Template], tuple[str, ...]],
) -> None:
    """Count distinct minutes with sessions by template and user, where anybody was connected."""
    spent: dict[tuple[str, str], dict[str, set[datetime]]] = defaultdict(lambda: defaultdict(set))
    connected: set[tuple[str, str]] = set()
    for one in reports:
        for family, count in one.sessions.items():
            if count > 0:
                key = one.template_id, one.user_id
                spent[key][family].add(one.created_at.replace(second=0, microsecond=0))
                connected.update([key] if one.connection_count > 0 else ())
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    active: Counter[str] = Counter()
    for key in connected:
        active[key[0]] += 1
        for family, found in spent[key].items():
            totals[key[0]][family] += len(found)
    for template in world.templates:
        if template.id in active:
            users.once(active[template.id], *labels(template))
            for family in BUILTIN:
                usage.once(60 * totals[template.id][family], *labels(template), _SHOWN[family], "")


def _app_use(
    world: World,
    start: datetime,
    end: datetime,
    usage: Vector,
    labels: Callable[[Template], tuple[str, ...]],
) -> None:
    totals: Counter[tuple[int, str]] = Counter()
    for day, first, last in split_days(start, end):
        mask = minutes(first, last)
        for use in world.use(day):
            for slug, used in use.apps.items():
                if slug != TERMINAL and (found := used & mask):
                    totals[use.template, slug] += found.bit_count()
    for place, template in enumerate(world.templates):
        for app in template.apps:
            if spent := totals[place, app.slug]:
                usage.once(60 * spent, *labels(template), app.display_name, app.slug)


def _parameters(builds: Iterable[Build]) -> Counter[tuple[str, str, str, str]]:
    newest: dict[str, Build] = {}
    for build in builds:
        known = newest.get(build.workspace_id)
        if known is None or known.number < build.number:
            newest[build.workspace_id] = build
    return Counter(
        (build.template.id, one.name, one.type, build.values.get(one.name, ""))
        for build in newest.values()
        for one in build.parameters or build.template.parameters
    )
