"""Insights gauges: the usage of the five minutes before the last computation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from insights_exporter.simulator.coderd.metric_vectors import MetricVec
from insights_exporter.simulator.model import AgentReport, Build, Template
from insights_exporter.simulator.usage import SESSION_FAMILIES, TERMINAL_SLUG, minute_mask, split_days
from insights_exporter.simulator.world import World

__all__ = ["INSIGHTS_INTERVAL", "insights_metrics"]

INSIGHTS_INTERVAL = timedelta(minutes=5)

_DISPLAY_NAMES = {
    "vscode": "Visual Studio Code",
    "jetbrains": "JetBrains",
    "reconnecting_pty": "Web Terminal",
    "ssh": "SSH",
}


def insights_metrics(
    world: World, collected_at: datetime, *, organizations: bool, reports: Iterable[AgentReport]
) -> list[MetricVec]:
    """Return the families computed at a time from the reports of the preceding window.

    Without ``organizations``, as in older releases, templates with the same name collide.
    """
    start = collected_at - INSIGHTS_INTERVAL

    def labels(template: Template) -> tuple[str, ...]:
        return (template.organization.name, template.name) if organizations else (template.name,)

    names = ("organization_name", "template_name") if organizations else ("template_name",)
    usage = MetricVec(
        "coderd_insights_applications_usage_seconds",
        "The application usage per template.",
        (*names, "application_name", "slug"),
    )
    users = MetricVec(
        "coderd_insights_templates_active_users", "The number of active users of the template.", names
    )
    parameters = MetricVec(
        "coderd_insights_parameters",
        "The parameter usage per template.",
        (*names, "parameter_name", "parameter_type", "parameter_value"),
    )
    _add_session_usage(world, reports, usage, users, labels)
    _add_app_usage(world, start, collected_at, usage, labels)
    templates = {item.id: item for item in world.templates}
    for (template_id, *label_values), count in _count_parameters(
        world.newest_builds(start, collected_at)
    ).items():
        parameters.set_unique(count, *labels(templates[template_id]), *label_values)
    return [usage, users, parameters]


def _add_session_usage(
    world: World,
    reports: Iterable[AgentReport],
    usage: MetricVec,
    users: MetricVec,
    labels: Callable[[Template], tuple[str, ...]],
) -> None:
    """Count distinct minutes with sessions by template, for users with a connection."""
    minutes_by_family: dict[tuple[str, str], dict[str, set[datetime]]] = defaultdict(lambda: defaultdict(set))
    connected: set[tuple[str, str]] = set()
    for report in reports:
        for family, count in report.sessions.items():
            if count > 0:
                key = report.template_id, report.user_id
                minutes_by_family[key][family].add(report.created_at.replace(second=0, microsecond=0))
                connected.update([key] if report.connection_count > 0 else ())
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    active: Counter[str] = Counter()
    for key in connected:
        active[key[0]] += 1
        for family, session_minutes in minutes_by_family[key].items():
            totals[key[0]][family] += len(session_minutes)
    for template in world.templates:
        if template.id in active:
            users.set_unique(active[template.id], *labels(template))
            for family in SESSION_FAMILIES:
                usage.set_unique(
                    60 * totals[template.id][family], *labels(template), _DISPLAY_NAMES[family], ""
                )


def _add_app_usage(
    world: World,
    start: datetime,
    end: datetime,
    usage: MetricVec,
    labels: Callable[[Template], tuple[str, ...]],
) -> None:
    totals: Counter[tuple[int, str]] = Counter()
    for day, first, last in split_days(start, end):
        mask = minute_mask(first, last)
        for user_day in world.usage(day):
            for slug, app_mask in user_day.app_masks.items():
                if slug != TERMINAL_SLUG and (overlap := app_mask & mask):
                    totals[user_day.template, slug] += overlap.bit_count()
    for index, template in enumerate(world.templates):
        for app in template.apps:
            if minute_count := totals[index, app.slug]:
                usage.set_unique(60 * minute_count, *labels(template), app.display_name, app.slug)


def _count_parameters(builds: Iterable[Build]) -> Counter[tuple[str, str, str, str]]:
    return Counter(
        (build.template.id, parameter.name, parameter.type, build.values.get(parameter.name, ""))
        for build in builds
        for parameter in build.parameters or build.template.parameters
    )
