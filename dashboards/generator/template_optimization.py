"""Template Optimization: unused templates, apps and options, and defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.deployment_overview import no_users_in_window
from dashboards.generator.panels import Panel, PanelInfo, fixed_color, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, WINDOW, inventory, parameters, usage
from dashboards.generator.queries.parameters import PARAMETER_LABELS
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.status import status_row
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    CellStyle,
    Column,
    share_column,
    table_panel,
)
from dashboards.generator.targets import range_query
from dashboards.generator.theme import (
    AMBER,
    BLUE,
    GREEN_LINE,
    GREY,
    RED_LINE,
    TRANSPARENT,
    ThresholdSteps,
    nothing_found,
)
from dashboards.generator.units import Unit
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.promql import Expr
from insights_exporter.bundle.registry import TEMPLATE_OPTIMIZATION
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = ["build"]

_LEAD_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT), (0.2, AMBER))
_WINDOW_DAYS: Final = (("30d", 30), ("7d", 7), ("yesterday", 1), ("today", 0))
"""Windows from the longest to the shortest, and their days."""

_DAYS_COLUMN_UNIT: Final = Unit("suffix:d", "days", 0)


def build() -> dict[str, Any]:
    """Return the dashboard."""
    unused = [
        GridRow(4, [(24, _counts())]),
        GridRow(11, [(12, _unused_apps()), (12, _unused_options())]),
        GridRow(8, [(24, _unused_templates())]),
    ]
    parameter_values = [GridRow(12, [(24, _defaults())])]
    apps = [GridRow(10, [(12, _hours_per_app()), (12, _app_health())])]
    rows = [
        status_row(no_users_in_window()),
        Row("Unused in the window", unused),
        Row("Defaults", parameter_values),
        Row("Apps", apps),
    ]
    return dashboard_json(TEMPLATE_OPTIMIZATION, multi_template_variables(window="30d"), rows)


def _app_seconds(window: str) -> Expr:
    seconds = QUERY.latest(
        catalogue.TEMPLATE_APP_USAGE_WINDOW, app_type="app", window=window, **SELECTED_TEMPLATES
    )
    return seconds.max("job", *TEMPLATE_LABELS, "app")


def _unused_app_series() -> Expr:
    return _app_seconds("$window").binary_op("== 0")


def _option_workspaces(window: str) -> Expr:
    return QUERY.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, window=window, **SELECTED_TEMPLATES)


def _unused_option_series() -> Expr:
    return _option_workspaces("$window").binary_op("== 0")


def _unused_days(values_by_window: dict[str, Expr]) -> Expr:
    """Return the days of the longest window in which a value is 0."""
    first, *others = (
        values_by_window[window].binary_op("== 0").binary_op(f"* 0 + {days}") for window, days in _WINDOW_DAYS
    )
    return replace(first, text=f"({' or '.join(str(one) for one in (first, *others))})", max_operand="")


def _affected_workspaces() -> Expr:
    return inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)


def _with_affected(unused: Expr) -> Expr:
    """Return the workspaces of the template of each unused thing."""
    workspaces = _affected_workspaces()
    labels = ", ".join(TEMPLATE_LABELS)
    return replace(unused, text=f"({unused} * 0 + on ({labels}) group_left () {workspaces})", max_operand="")


def _counts() -> Panel:
    unused_templates = QUERY.latest(
        catalogue.TEMPLATE_UNIQUE_USERS, **SELECTED_TEMPLATES, **WINDOW
    ).binary_op("== 0")
    apps, options = _app_seconds("$window"), _option_workspaces("$window")
    templates = QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, **SELECTED_TEMPLATES, **WINDOW)
    return stat_panel(
        "Unused, selected templates",
        [
            _count(
                "Apps", _unused_app_series(), apps, "apps", "apps of templates; apps of Coder are excluded"
            ),
            _count("Options", _unused_option_series(), options, "options", "declared options of parameters"),
            _count("Templates", unused_templates, templates, "templates", "templates without a user"),
        ],
        description="Things without use in the window.",
    )


def _count(name: str, unused: Expr, all_series: Expr, noun: str, description: str) -> Stat:
    """Return a count that is 0, and not missing, while everything is used."""
    query = f"{unused.count()} or {all_series.count()} * 0"
    return Stat(name=name, query=query, unit=units.count_of(noun), description=description)


def _unused_templates() -> Panel:
    unused = usage.users(SELECTED_TEMPLATES).binary_op("== 0")
    unused_days = _unused_days(
        {window: usage.users(SELECTED_TEMPLATES, window) for window, _ in _WINDOW_DAYS}
    )
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="C", title="Unused for", unit=_DAYS_COLUMN_UNIT, width=110),
        Column(source="A", title="Workspaces", unit=units.count_of("workspaces"), width=110),
        Column(source="B", title="Created", unit=units.TIME_AGO, width=130),
    ]
    description = "Templates without a user in the window, for how many days at least, and their workspaces."
    panel_info = PanelInfo(
        title="Unused templates",
        description=description,
        unit=units.count_of("templates"),
        no_value=nothing_found("No unused templates"),
    )
    queries = [
        _affected_workspaces().and_on(unused, *TEMPLATE_LABELS),
        usage.created_at(SELECTED_TEMPLATES).and_on(unused, *TEMPLATE_LABELS),
        unused_days.and_on(unused, *TEMPLATE_LABELS),
    ]
    return table_panel(panel_info, queries, columns, sort="Unused for")


def _unused_apps() -> Panel:
    unused = _unused_app_series()
    labels = ("job", *TEMPLATE_LABELS, "app")
    days = _unused_days({window: _app_seconds(window) for window, _ in _WINDOW_DAYS})
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="name", title="App"),
        Column(source="A", title="Unused for", unit=_DAYS_COLUMN_UNIT, width=110),
        Column(source="B", title="Workspaces", unit=units.count_of("workspaces"), width=110),
    ]
    description = (
        "All apps of the templates without use in the window, for how many days at least, and the "
        "workspaces of the template. Apps of Coder, such as SSH, are excluded."
    )
    panel_info = PanelInfo(
        title="Unused apps",
        description=description,
        unit=units.count_of("apps"),
        no_value=nothing_found("No unused apps"),
    )
    queries = [usage.with_app_names(days.and_on(unused, *labels)), _with_affected(unused)]
    return table_panel(panel_info, queries, columns, sort="Workspaces")


def _unused_options() -> Panel:
    unused = _unused_option_series()
    days = _unused_days({window: _option_workspaces(window) for window, _ in _WINDOW_DAYS})
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="parameter", title="Parameter"),
        Column(source="value", title="Option"),
        Column(
            source="is_default", title="Default", value_mappings={"true": "default", "false": ""}, width=80
        ),
        Column(source="A", title="Unused for", unit=_DAYS_COLUMN_UNIT, width=110),
        Column(source="B", title="Workspaces", unit=units.count_of("workspaces"), width=110),
    ]
    description = (
        "All declared options without a workspace in the window, for how many days at least, and the "
        "workspaces of the template."
    )
    panel_info = PanelInfo(
        title="Unused options",
        description=description,
        unit=units.count_of("options"),
        no_value=nothing_found("No unused options"),
    )
    named = parameters.with_display_names(days.and_on(unused, *unused.labels), SELECTED_TEMPLATES)
    return table_panel(panel_info, [named, _with_affected(unused)], columns, sort="Workspaces")


def _defaults() -> Panel:
    shares = parameters.value_shares(SELECTED_TEMPLATES)
    group = ", ".join(PARAMETER_LABELS)
    top_share = replace(shares.max(*PARAMETER_LABELS), max_operand="")
    top_values = shares.largest(*PARAMETER_LABELS)
    defaults = parameters.default_values(SELECTED_TEMPLATES)
    value_labels = [label for label in shares.labels if label in defaults.labels]
    default_share = shares.and_on(defaults, *value_labels).max(*PARAMETER_LABELS)
    lead = replace(top_share, text=f"({top_share} - on ({group}) {default_share})")
    workspaces = _option_workspaces("$window").sum(*PARAMETER_LABELS).and_on(top_share, *PARAMETER_LABELS)
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="parameter", title="Parameter"),
        Column(source="value", title="Most chosen"),
        share_column("A", "Share of most chosen"),
        Column(source="default", title="Default", no_value="none"),
        share_column("B", "Share of default"),
        Column(
            source="C",
            title="Lead over default",
            unit=units.SHARE,
            cell_style=CellStyle.COLORED_BACKGROUND,
            steps=_LEAD_STEPS,
            width=140,
        ),
        Column(source="D", title="Workspaces", unit=units.count_of("workspaces"), width=105),
    ]
    description = (
        "The most chosen value of each parameter beside the default; defaults that differ most come first. "
        "A value of nearly all workspaces could be the default, or need no parameter."
    )
    panel_info = PanelInfo(title="Most chosen values and defaults", description=description, unit=units.SHARE)
    named = parameters.with_display_names(top_values, SELECTED_TEMPLATES)
    queries = [
        named.join_info(defaults.max(*PARAMETER_LABELS, "default"), "default"),
        default_share,
        lead,
        workspaces,
    ]
    return table_panel(
        panel_info,
        queries,
        columns,
        sort="Lead over default",
        base=top_share,
        tied=("value", "parameter_value", "option_name", "is_default"),
    )


def _hours_per_app() -> Panel:
    family: Family = catalogue.TEMPLATE_APP_USAGE_WINDOW
    app_seconds = QUERY.latest(family, **SELECTED_TEMPLATES, **WINDOW).binary_op("> 0")
    shares = app_seconds.share_of_total("job", *TEMPLATE_LABELS)
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="name", title="App"),
        Column(source="A", title="Hours", unit=units.HOURS, width=90),
        share_column("B", "Share of template"),
    ]
    description = (
        "Hours in each app of each template in the window, and its share of the hours in all apps of the "
        "template. Apps overlap, so do not add them."
    )
    panel_info = PanelInfo(title="Hours per app", description=description, unit=units.HOURS)
    queries = [usage.with_app_names(app_seconds.binary_op("/ 3600")), shares]
    return table_panel(panel_info, queries, columns, sort="Hours")


def _app_health() -> Panel:
    health_colors = (
        ("healthy", GREEN_LINE),
        ("initializing", BLUE),
        ("unhealthy", RED_LINE),
        ("disabled", GREY),
    )
    all_apps = QUERY.latest(catalogue.APP_HEALTH, **SELECTED_TEMPLATES).sum()
    apps = {
        health: QUERY.latest(catalogue.APP_HEALTH, health=health, **SELECTED_TEMPLATES).sum()
        for health, _ in health_colors
    }
    description = "Apps in running workspaces by health; disabled: the app has no health check."
    return time_series_panel(
        PanelInfo(title="App health", description=description, unit=units.count_of("apps")),
        [range_query(f"{count} or {all_apps} * 0", health) for health, count in apps.items()],
        stacked=True,
        overrides=[(health, fixed_color(color)) for health, color in health_colors],
    )
