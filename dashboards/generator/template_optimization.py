"""What templates offer and nobody takes, and what everybody takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import Panel, PanelInfo, fixed_color, stat_panel, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, WINDOW, inventory, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    CellStyle,
    Column,
    share_column,
    table_panel,
)
from dashboards.generator.targets import instant_query, range_query
from dashboards.generator.theme import AMBER, BLUE, GREEN, GREY, RED, ThresholdSteps
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.promql import Expr
from insights_exporter.bundle.registry import TEMPLATE_OPTIMIZATION
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_PARAMETER_LABELS: Final = ("job", *TEMPLATE_LABELS, "parameter_name", "parameter_type")
_UNUSED_STEPS: Final[ThresholdSteps] = ((None, GREEN), (1, AMBER))


def build() -> dict[str, Any]:
    """Return the dashboard."""
    unused = [
        GridRow(4, [(8, panel) for panel in _stat_panels()]),
        GridRow(10, [(7, _unused_templates()), (7, _unused_apps()), (10, _unused_options())]),
    ]
    parameter_values = [GridRow(11, [(24, _dominant_values())])]
    apps = [GridRow(10, [(12, _hours_per_app()), (12, _app_health())])]
    rows = [Row("Offered and not used", unused), Row("Choices", parameter_values), Row("Apps", apps)]
    return dashboard_json(TEMPLATE_OPTIMIZATION, multi_template_variables(), rows)


def _unused_app_series() -> Expr:
    app_seconds = QUERY.latest(
        catalogue.TEMPLATE_APP_USAGE_WINDOW, app_type="app", **SELECTED_TEMPLATES, **WINDOW
    )
    return app_seconds.max("job", *TEMPLATE_LABELS, "app").binary_op("== 0")


def _unused_option_series() -> Expr:
    workspaces = QUERY.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **SELECTED_TEMPLATES, **WINDOW)
    return workspaces.binary_op("== 0")


def _stat_panels() -> list[Panel]:
    unused_templates = QUERY.latest(
        catalogue.TEMPLATE_UNIQUE_USERS, **SELECTED_TEMPLATES, **WINDOW
    ).binary_op("== 0")
    return [
        stat_panel(
            PanelInfo(
                title="Templates nobody used",
                description="Templates without a user in the window.",
                unit=units.count_of("templates"),
                no_value="0",
            ),
            instant_query(unused_templates.count()),
            steps=_UNUSED_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Apps nobody used",
                description="Apps that a template brings and nobody used in the window, counted per template.",
                unit=units.count_of("apps"),
                no_value="0",
            ),
            instant_query(_unused_app_series().count()),
            steps=_UNUSED_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Options nobody chose",
                description="Declared options of parameters that no workspace has, counted per template.",
                unit=units.count_of("options"),
                no_value="0",
            ),
            instant_query(_unused_option_series().count()),
            steps=_UNUSED_STEPS,
        ),
    ]


def _unused_templates() -> Panel:
    unused = (
        QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, **SELECTED_TEMPLATES, **WINDOW)
        .max(*TEMPLATE_LABELS)
        .binary_op("== 0")
    )
    created = (
        QUERY.latest(catalogue.TEMPLATE_CREATED, **SELECTED_TEMPLATES)
        .max(*TEMPLATE_LABELS)
        .binary_op("* 1000")
    )
    workspaces = inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Workspaces", unit=units.count_of("workspaces"), width=100),
        Column(source="B", title="Created", unit=units.TIME_AGO, width=120),
    ]
    description = (
        "Templates without a user in the window, the workspaces that still exist of them, and their age."
    )
    panel_info = PanelInfo(
        title="Unused templates",
        description=description,
        unit=units.count_of("templates"),
        no_value="Every template is used",
    )
    queries = [workspaces.and_on(unused, *TEMPLATE_LABELS), created.and_on(unused, *TEMPLATE_LABELS)]
    return table_panel(panel_info, queries, columns, sort="Created", descending=False)


def _unused_apps() -> Panel:
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="name", title="App"),
    ]
    description = (
        "Apps that a template brings and nobody used in the window; what Coder itself offers is left out."
    )
    panel_info = PanelInfo(
        title="Unused apps",
        description=description,
        unit=units.count_of("apps"),
        no_value="Every app is used",
    )
    return table_panel(
        panel_info, [usage.with_app_names(_unused_app_series())], columns, sort="Template", descending=False
    )


def _with_display_names(values: Expr) -> Expr:
    info = QUERY.latest(catalogue.PARAMETER_INFO, **SELECTED_TEMPLATES)
    with_info = values.join_info(info, "display_name", "option_name", "is_default")
    with_info = with_info.coalesce_label("parameter", "parameter_name", "display_name")
    return with_info.coalesce_label("value", "parameter_value", "option_name")


def _unused_options() -> Panel:
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="parameter", title="Parameter"),
        Column(source="value", title="Option"),
        Column(
            source="is_default", title="Default", value_mappings={"true": "default", "false": ""}, width=90
        ),
    ]
    description = "Declared options of parameters that no workspace has in the window."
    panel_info = PanelInfo(
        title="Unused options",
        description=description,
        unit=units.count_of("options"),
        no_value="Every option is chosen",
    )
    return table_panel(
        panel_info, [_with_display_names(_unused_option_series())], columns, sort="Template", descending=False
    )


def _value_shares() -> Expr:
    """Return the share of a parameter's workspaces that have each value."""
    workspaces = QUERY.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **SELECTED_TEMPLATES, **WINDOW)
    group_labels = ", ".join(_PARAMETER_LABELS)
    text = f"({workspaces} / on ({group_labels}) group_left () ({workspaces.sum(*_PARAMETER_LABELS)} > 0))"
    return replace(workspaces, text=text, max_operand="")


def _dominant_values() -> Panel:
    shares = _value_shares()
    top_value = replace(shares, text=f"topk by ({', '.join(_PARAMETER_LABELS)}) (1, {shares})")
    info = QUERY.latest(catalogue.PARAMETER_INFO, is_default="true", **SELECTED_TEMPLATES)
    value_labels = [label for label in info.labels if label in shares.labels]
    defaults = info.coalesce_label("default", "parameter_value", "option_name").max(
        *_PARAMETER_LABELS, "default"
    )
    default_share = shares.and_on(info, *value_labels).max(*_PARAMETER_LABELS)
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="parameter", title="Parameter"),
        Column(source="value", title="Most chosen"),
        share_column("A", "Share of it"),
        Column(source="default", title="Default", no_value="none"),
        share_column("B", "Share of the default"),
    ]
    description = (
        "The value of each parameter that most workspaces have, beside the default, and their shares. One "
        "that nearly all have could become the default, or no parameter at all."
    )
    panel_info = PanelInfo(title="Dominant values and defaults", description=description, unit=units.SHARE)
    return table_panel(
        panel_info,
        [_with_display_names(top_value).join_info(defaults, "default"), default_share],
        columns,
        sort="Share of it",
    )


def _hours_per_app() -> Panel:
    app_seconds = QUERY.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **SELECTED_TEMPLATES, **WINDOW).binary_op(
        "> 0"
    )
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="name", title="App"),
        Column(source="A", title="Hours", unit=units.HOURS, cell_style=CellStyle.GAUGE),
    ]
    description = "Hours that users spent in each app of each template in the window. Apps overlap."
    panel_info = PanelInfo(title="Hours per app", description=description, unit=units.HOURS)
    return table_panel(
        panel_info, [usage.with_app_names(app_seconds.binary_op("/ 3600"))], columns, sort="Hours"
    )


def _app_health() -> Panel:
    health_colors = (("healthy", GREEN), ("initializing", BLUE), ("unhealthy", RED), ("disabled", GREY))
    targets = [
        range_query(
            f"{QUERY.latest(catalogue.APP_HEALTH, health=health, **SELECTED_TEMPLATES).sum()} or vector(0)",
            health,
        )
        for health, _ in health_colors
    ]
    description = "Apps in running workspaces by health; disabled ones have no health check."
    return time_series_panel(
        PanelInfo(title="App health", description=description, unit=units.count_of("apps")),
        targets,
        stacked=True,
        overrides=[(health, fixed_color(color)) for health, color in health_colors],
    )
