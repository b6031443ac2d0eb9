"""Panels of builds: the latest one of each workspace, and builds as coderd counts them."""

from __future__ import annotations

from typing import Final

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo, fixed_color, time_series_panel
from dashboards.generator.queries import SELECTED_TEMPLATES, builds, usage
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    problem_column,
    share_column,
    table_panel,
)
from dashboards.generator.targets import range_query
from dashboards.generator.theme import GREEN_LINE, RED_LINE, SLOW_SHARE_STEPS

__all__ = ["build_results", "build_times", "failed_builds", "latest_builds"]

_DAY: Final = "1d"
_NO_CODERD_BUILDS: Final = (
    "No builds: Prometheus does not scrape coderd (CODER_PROMETHEUS_ENABLE), or the recording rules of the "
    "bundle are not installed, or nothing was built"
)
_NO_BUILD_TIMES: Final = (
    "No build times: Prometheus does not scrape coderd (CODER_PROMETHEUS_ENABLE), or this release of Coder "
    "does not measure them, or nothing was started"
)


def latest_builds() -> Panel:
    """Return workspaces and failed latest builds of each template and transition."""
    total = builds.latest_builds(SELECTED_TEMPLATES, *builds.BUILD_LABELS)
    failed = builds.failed_latest_builds(SELECTED_TEMPLATES)
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="transition", title="Transition", width=100),
        Column(source="A", title="Workspaces", unit=units.count_of("workspaces"), width=110),
        problem_column("B", "Failed", "workspaces", width=90),
        share_column("C", "Failed share", SLOW_SHARE_STEPS),
    ]
    description = (
        "Workspaces by template and by transition of their latest build, and those whose latest build "
        "failed. A high share points to the template, single failures to their workspaces."
    )
    panel_info = PanelInfo(
        title="Latest builds by template", description=description, unit=units.count_of("workspaces")
    )
    return table_panel(panel_info, [total, failed, usage.ratio(failed, total)], columns, sort="Failed share")


def build_results() -> Panel:
    """Return finished builds per hour by result, as coderd counts them."""
    panel_info = PanelInfo(
        title="Builds per hour",
        description="Builds that finished in the hour before by result, from coderd's own metrics.",
        unit=units.count_of("builds"),
        no_value=_NO_CODERD_BUILDS,
    )
    return time_series_panel(
        panel_info,
        [range_query(builds.coderd_builds("1h", "status"), "{{status}}", interval="1h")],
        stacked=True,
        bars=True,
        overrides=[("success", fixed_color(GREEN_LINE)), ("failed", fixed_color(RED_LINE))],
    )


def failed_builds() -> Panel:
    """Return builds and failed builds of the last day by template, as coderd counts them."""
    labels = ("template_name", "workspace_transition")
    total = builds.coderd_builds(_DAY, *labels)
    queries = [
        total,
        builds.coderd_builds(_DAY, *labels, matcher='status="failed"'),
        builds.coderd_failed_share(_DAY, *labels),
    ]
    columns = [
        Column(source="template_name", title="Template"),
        Column(source="workspace_transition", title="Transition", width=110),
        Column(source="A", title="Builds", unit=units.count_of("builds"), width=80),
        problem_column("B", "Failed", "builds", width=80),
        share_column("C", "Failed share", SLOW_SHARE_STEPS),
    ]
    description = (
        "Builds of the last day and failed ones, from coderd's own metrics: also those that a later build "
        "repaired. coderd does not name the organization of a template."
    )
    panel_info = PanelInfo(
        title="Failed builds, last day",
        description=description,
        unit=units.count_of("builds"),
        no_value=_NO_CODERD_BUILDS,
    )
    return table_panel(panel_info, queries, columns, sort="Failed share")


def build_times() -> Panel:
    """Return the p95 of the time until a started workspace is ready, by template."""
    seconds = builds.coderd_build_seconds("0.95", _DAY, "organization_name", "template_name")
    panel_info = PanelInfo(
        title="Time until workspaces are ready",
        description=(
            "p95 over one day of the time from the creation of a build until its agents are ready, from "
            "coderd's own metrics of newer releases."
        ),
        unit=units.SECONDS,
        no_value=_NO_BUILD_TIMES,
    )
    return time_series_panel(
        panel_info, [range_query(seconds, "{{organization_name}} / {{template_name}}")], fill_opacity=0
    )
