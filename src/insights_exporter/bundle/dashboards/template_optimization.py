"""What templates offer and nobody takes, and what everybody takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from insights_exporter.bundle.boards import TEMPLATE_OPTIMIZATION
from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.house import AMBER, BLUE, GREEN, GREY, RED, Steps
from insights_exporter.bundle.dashboards.signals import SCOPE, SEVERAL, WINDOW, inventory, usage
from insights_exporter.bundle.dashboards.signals.usage import KEY
from insights_exporter.bundle.dashboards.styles import About, Built, graph, number, painted
from insights_exporter.bundle.dashboards.tables import (
    ORGANIZATION,
    TEMPLATE,
    Column,
    Look,
    listing,
    share_column,
)
from insights_exporter.bundle.dashboards.targets import at_end, series
from insights_exporter.bundle.dashboards.variables import several_templates
from insights_exporter.bundle.queries import Vector
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_PARAMETER: Final = ("job", *KEY, "parameter_name", "parameter_type")
_SOME: Final[Steps] = ((None, GREEN), (1, AMBER))


def build() -> dict[str, Any]:
    """Return the dashboard."""
    idle = [
        Line(4, [(8, panel) for panel in _headline()]),
        Line(10, [(7, _unused_templates()), (7, _unused_apps()), (10, _unchosen())]),
    ]
    choices = [Line(11, [(24, _dominant())])]
    apps = [Line(10, [(12, _hours()), (12, _health())])]
    rows = [Row("Offered and not used", idle), Row("Choices", choices), Row("Apps", apps)]
    return document(TEMPLATE_OPTIMIZATION, several_templates(), rows)


def _idle_apps() -> Vector:
    used = SCOPE.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, app_type="app", **SEVERAL, **WINDOW)
    return used.max("job", *KEY, "app").times("== 0")


def _idle_options() -> Vector:
    chosen = SCOPE.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **SEVERAL, **WINDOW)
    return chosen.times("== 0")


def _headline() -> list[Built]:
    idle = SCOPE.latest(catalogue.TEMPLATE_UNIQUE_USERS, **SEVERAL, **WINDOW).times("== 0")
    return [
        number(
            About(
                title="Templates nobody used",
                what="Templates without a user in the window.",
                unit=units.count("templates"),
                empty="0",
            ),
            at_end(idle.count()),
            steps=_SOME,
        ),
        number(
            About(
                title="Apps nobody used",
                what="Apps that a template brings and nobody used in the window, counted per template.",
                unit=units.count("apps"),
                empty="0",
            ),
            at_end(_idle_apps().count()),
            steps=_SOME,
        ),
        number(
            About(
                title="Options nobody chose",
                what="Declared options of parameters that no workspace has, counted per template.",
                unit=units.count("options"),
                empty="0",
            ),
            at_end(_idle_options().count()),
            steps=_SOME,
        ),
    ]


def _unused_templates() -> Built:
    idle = SCOPE.latest(catalogue.TEMPLATE_UNIQUE_USERS, **SEVERAL, **WINDOW).max(*KEY).times("== 0")
    created = SCOPE.latest(catalogue.TEMPLATE_CREATED, **SEVERAL).max(*KEY).times("* 1000")
    workspaces = inventory.workspaces(SEVERAL).sum(*KEY)
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="A", title="Workspaces", unit=units.count("workspaces"), width=100),
        Column(source="B", title="Created", unit=units.AGO, width=120),
    ]
    what = "Templates without a user in the window, the workspaces that still exist of them, and their age."
    about = About(
        title="Unused templates", what=what, unit=units.count("templates"), empty="Every template is used"
    )
    queries = [workspaces.having(idle, *KEY), created.having(idle, *KEY)]
    return listing(about, queries, columns, sort="Created", falling=False)


def _unused_apps() -> Built:
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="name", title="App"),
    ]
    what = "Apps that a template brings and nobody used in the window; what Coder itself offers is left out."
    about = About(title="Unused apps", what=what, unit=units.count("apps"), empty="Every app is used")
    return listing(about, [usage.app_names(_idle_apps())], columns, sort="Template", falling=False)


def _with_names(values: Vector) -> Vector:
    info = SCOPE.latest(catalogue.PARAMETER_INFO, **SEVERAL)
    named = values.named(info, "display_name", "option_name", "is_default")
    named = named.labelled("parameter", "parameter_name", "display_name")
    return named.labelled("value", "parameter_value", "option_name")


def _unchosen() -> Built:
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="parameter", title="Parameter"),
        Column(source="value", title="Option"),
        Column(source="is_default", title="Default", words={"true": "default", "false": ""}, width=90),
    ]
    what = "Declared options of parameters that no workspace has in the window."
    about = About(
        title="Unused options", what=what, unit=units.count("options"), empty="Every option is chosen"
    )
    return listing(about, [_with_names(_idle_options())], columns, sort="Template", falling=False)


def _shares() -> Vector:
    """Return the share of a parameter's workspaces that have each value."""
    chosen = SCOPE.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **SEVERAL, **WINDOW)
    grouped = ", ".join(_PARAMETER)
    text = f"({chosen} / on ({grouped}) group_left () ({chosen.sum(*_PARAMETER)} > 0))"
    return replace(chosen, text=text, inner="")


def _dominant() -> Built:
    shares = _shares()
    first = replace(shares, text=f"topk by ({', '.join(_PARAMETER)}) (1, {shares})")
    info = SCOPE.latest(catalogue.PARAMETER_INFO, is_default="true", **SEVERAL)
    of_value = [label for label in info.labels if label in shares.labels]
    defaults = info.labelled("default", "parameter_value", "option_name").max(*_PARAMETER, "default")
    kept = shares.having(info, *of_value).max(*_PARAMETER)
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="parameter", title="Parameter"),
        Column(source="value", title="Most chosen"),
        share_column("A", "Share of it"),
        Column(source="default", title="Default", empty="none"),
        share_column("B", "Share of the default"),
    ]
    what = (
        "The value of each parameter that most workspaces have, beside the default, and their shares. One "
        "that nearly all have could become the default, or no parameter at all."
    )
    about = About(title="Dominant values and defaults", what=what, unit=units.SHARE)
    return listing(about, [_with_names(first).named(defaults, "default"), kept], columns, sort="Share of it")


def _hours() -> Built:
    used = SCOPE.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **SEVERAL, **WINDOW).times("> 0")
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="name", title="App"),
        Column(source="A", title="Hours", unit=units.HOURS, look=Look.BAR),
    ]
    what = "Hours that users spent in each app of each template in the window. Apps overlap."
    about = About(title="Hours per app", what=what, unit=units.HOURS)
    return listing(about, [usage.app_names(used.times("/ 3600"))], columns, sort="Hours")


def _health() -> Built:
    shown = (("healthy", GREEN), ("initializing", BLUE), ("unhealthy", RED), ("disabled", GREY))
    targets = [
        series(f"{SCOPE.latest(catalogue.APP_HEALTH, health=health, **SEVERAL).sum()} or vector(0)", health)
        for health, _ in shown
    ]
    what = "Apps in running workspaces by health; disabled ones have no health check."
    return graph(
        About(title="App health", what=what, unit=units.count("apps")),
        targets,
        stacked=True,
        overrides=[(health, painted(color)) for health, color in shown],
    )
