"""Panels of workspaces, agents and builds on Capacity Planning."""

from __future__ import annotations

from dashboards.generator import units
from dashboards.generator.panels import AGENT_COLORS, WORKSPACE_COLORS, Panel, PanelInfo, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, inventory, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    problem_column,
    table_panel,
)
from dashboards.generator.targets import range_query
from dashboards.generator.units import Unit
from insights_exporter.metrics import catalogue

__all__ = [
    "agents_by_status",
    "build_durations",
    "least_used_templates",
    "reclaimable_workspaces",
    "workspaces_by_status",
]


def workspaces_by_status() -> Panel:
    """Return workspaces over time by status."""
    return time_series_panel(
        PanelInfo(
            title="Workspaces by status",
            description="Workspaces by the status of their newest build.",
            unit=units.count_of("workspaces"),
        ),
        [range_query(inventory.workspaces(SELECTED_TEMPLATES).sum("status"), "{{status}}")],
        stacked=True,
        fill_opacity=30,
        overrides=WORKSPACE_COLORS,
    )


def agents_by_status() -> Panel:
    """Return agents over time by connection status."""
    return time_series_panel(
        PanelInfo(
            title="Agents by status",
            description="Agents in running workspaces by connection status.",
            unit=units.count_of("agents"),
        ),
        [range_query(inventory.agents(SELECTED_TEMPLATES).sum("status"), "{{status}}")],
        stacked=True,
        fill_opacity=30,
        overrides=AGENT_COLORS,
    )


def reclaimable_workspaces() -> Panel:
    """Return idle, outdated and other workspaces that could be reclaimed, by template."""
    by_template = [
        QUERY.latest(family, **SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
        for family in (
            catalogue.WORKSPACES_WITHOUT_AUTOSTOP,
            catalogue.WORKSPACES_DORMANT,
            catalogue.WORKSPACES_OUTDATED,
        )
    ]
    running = inventory.workspaces(SELECTED_TEMPLATES, "running").sum(*TEMPLATE_LABELS)
    prebuilt = QUERY.latest(catalogue.PREBUILT_WORKSPACES, status="running", **SELECTED_TEMPLATES)
    queries = [
        running,
        inventory.idle_workspaces(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
        *by_template,
        prebuilt.sum(*TEMPLATE_LABELS),
        inventory.daily_cost(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Running", unit=units.count_of("workspaces"), width=90),
        problem_column("B", "Idle for 7 days", "workspaces", width=130),
        Column(source="C", title="Without autostop", unit=units.count_of("workspaces"), width=140),
        Column(source="D", title="Dormant", unit=units.count_of("workspaces"), width=90),
        Column(source="E", title="Outdated version", unit=units.count_of("workspaces"), width=140),
        Column(source="F", title="Prebuilt, running", unit=units.count_of("workspaces"), width=140),
        Column(
            source="G",
            title="Daily cost",
            unit=Unit("none", "units of cost", 1),
            width=100,
            no_value="unknown",
        ),
    ]
    description = (
        "Running workspaces, those without use for seven days or without autostop; dormant workspaces and "
        "workspaces of an older template version; running prebuilt workspaces, which the other columns do "
        "not contain; daily cost of running workspaces, where templates declare it."
    )
    unit = units.count_of("workspaces and units of cost")
    return table_panel(
        PanelInfo(title="Reclaimable workspaces", description=description, unit=unit),
        queries,
        columns,
        sort="Idle for 7 days",
    )


def least_used_templates() -> Panel:
    """Return the templates with the fewest hours first."""
    workspaces = inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    hours = usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    queries = [
        hours,
        usage.users(SELECTED_TEMPLATES),
        workspaces,
        usage.ratio(hours, workspaces),
        usage.created_at(SELECTED_TEMPLATES),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Hours", unit=units.HOURS, width=90),
        Column(source="B", title="Users", unit=units.USERS, width=70),
        Column(source="C", title="Workspaces", unit=units.count_of("workspaces"), width=105),
        Column(source="D", title="Hours per workspace", unit=units.HOURS, width=160),
        Column(source="E", title="Created", unit=units.TIME_AGO, width=120),
    ]
    description = (
        "Candidates for consolidation: the templates with the fewest hours in the window come first."
    )
    panel_info = PanelInfo(title="Least used templates", description=description, unit=units.HOURS)
    return table_panel(panel_info, queries, columns, sort="Hours", descending=False)


def build_durations() -> Panel:
    """Return the durations of each template's builds."""
    families = (catalogue.TEMPLATE_BUILD_P50, catalogue.TEMPLATE_BUILD_P95)
    queries = [
        QUERY.latest(family, **SELECTED_TEMPLATES).max(*TEMPLATE_LABELS, "transition") for family in families
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="transition", title="Transition", width=100),
        Column(source="A", title="p50", unit=units.SECONDS, width=90),
        Column(source="B", title="p95", unit=units.SECONDS, width=90),
    ]
    description = "p50 and p95 of the duration of each template's latest builds."
    panel_info = PanelInfo(title="Build durations", description=description, unit=units.SECONDS)
    return table_panel(panel_info, queries, columns, sort="p95")
