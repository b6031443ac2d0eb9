"""How kinds of panels look in this house; what they show and where they stand is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models import heatmap as heat

from dashboards.generator.targets import Target, expressions
from dashboards.generator.theme import (
    ACCENT_STEPS,
    AMBER,
    BLUE,
    BLUE_STEPS,
    DATASOURCE,
    GREEN,
    GREY,
    RED,
    ThresholdSteps,
    threshold_config,
)
from dashboards.generator.units import Unit
from insights_exporter.metrics import catalogue

__all__ = [
    "AGENT_COLORS",
    "FORECAST_LINE",
    "LIMIT_LINE",
    "WORKSPACE_COLORS",
    "Override",
    "Panel",
    "PanelInfo",
    "bar_gauge_panel",
    "fixed_color",
    "heatmap_panel",
    "panel_description",
    "stat_panel",
    "state_timeline_panel",
    "time_series_panel",
    "with_defaults",
]

Panel = dashboard.Panel
Override = tuple[str, Mapping[str, Any]]
"""The name of a field, and the properties that it has instead of the panel's."""

LIMIT_LINE: Final[Mapping[str, Any]] = {
    "color": {"mode": "fixed", "fixedColor": RED},
    "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
    "custom.fillOpacity": 0,
    "custom.lineWidth": 1,
}
"""How a line looks that others should stay below."""

FORECAST_LINE: Final[Mapping[str, Any]] = {
    "custom.lineStyle": {"fill": "dash", "dash": [2, 6]},
    "custom.fillOpacity": 0,
}
"""How a line looks that tells what may come."""


def fixed_color(color: str) -> dict[str, Any]:
    """Return a colour of a field's own."""
    return {"color": {"mode": "fixed", "fixedColor": color}}


def _fixed_colors(**colors: str) -> list[Override]:
    return [(name, fixed_color(color)) for name, color in colors.items()]


AGENT_COLORS: Final = _fixed_colors(connected=GREEN, connecting=BLUE, disconnected=RED, timeout=AMBER)
WORKSPACE_COLORS: Final = _fixed_colors(running=GREEN, stopped=GREY, failed=RED, dormant=AMBER)
"""What states look like; those named are served even when nothing is in them."""

_HISTOGRAM_SUFFIX: Final = r"(?:_bucket|_count|_sum)?"
_LONGEST_FIRST: Final = sorted((family.name for family in catalogue.FAMILIES), key=len, reverse=True)
_METRIC_NAME: Final = re.compile(rf"\b({'|'.join(_LONGEST_FIRST)}){_HISTOGRAM_SUFFIX}\b|\b(up|process_\w+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelInfo:
    """What a panel says of itself: a short title, what it shows, in which unit, and what if there is none."""

    title: str
    description: str
    unit: Unit
    no_value: str = "No data"


class _PanelBuilder(Protocol):
    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: kinds.DataSourceRef, /) -> Self: ...
    def with_target(self, target: Target, /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def decimals(self, decimals: float, /) -> Self: ...
    def no_value(self, no_value: str, /) -> Self: ...
    def override_by_name(self, name: str, properties: list[dashboard.DynamicConfigValue], /) -> Self: ...


BuilderT = TypeVar("BuilderT", bound=_PanelBuilder)


def panel_description(panel_info: PanelInfo, queries: Iterable[str]) -> str:
    """Return the text behind a panel's information mark, with the metrics that its queries name."""
    names = {
        match.group(1) or match.group(2): None for query in queries for match in _METRIC_NAME.finditer(query)
    }
    metrics = ", ".join(f"`{name}`" for name in names)
    return f"{panel_info.description}\n\nUnit: {panel_info.unit.description}. Metrics: {metrics}."


def with_defaults(
    panel: BuilderT, panel_info: PanelInfo, targets: Sequence[Target], overrides: Sequence[Override] = ()
) -> BuilderT:
    """Give a panel what every panel has."""
    panel = (
        panel.title(panel_info.title)
        .description(panel_description(panel_info, expressions(targets)))
        .datasource(DATASOURCE)
        .unit(panel_info.unit.id)
        .no_value(panel_info.no_value)
    )
    if panel_info.unit.decimals is not None:
        panel = panel.decimals(panel_info.unit.decimals)
    for target in targets:
        panel = panel.with_target(target)
    for name, properties in overrides:
        values = [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()]
        panel = panel.override_by_name(name, values)
    return panel


def _color(mode: dashboard.FieldColorModeId, fixed: str = "") -> build.FieldColor:
    color = build.FieldColor().mode(mode)
    return color.fixed_color(fixed) if fixed else color


_MIN_AXIS_MAX: Final = {"none": 1.0, "percentunit": 0.1}
"""How far an axis reaches at least, so that nothing at all does not look like a hundred."""

_NULL_OR_NAN: Final = dashboard.SpecialValueMatch.NULL_AND_NAN

_MAX_GAP_MS: Final = 3_600_000
"""Gaps of up to an hour, in milliseconds."""

_COLOR_BY_THRESHOLD: Final = dashboard.FieldColorModeId.THRESHOLDS
_COLOR_BY_SERIES: Final = dashboard.FieldColorModeId.PALETTE_CLASSIC
_COLOR_FIXED: Final = dashboard.FieldColorModeId.FIXED
_COLOR_SHADES: Final = dashboard.FieldColorModeId.SHADES


ValueMappings = Mapping[str, tuple[str, str]]
"""A text and a colour for each number."""


def _value_map(value_mappings: ValueMappings) -> dashboard.ValueMap:
    results = {
        key: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (key, (text, color)) in enumerate(value_mappings.items())
    }
    return dashboard.ValueMap(options=results)


def stat_panel(
    panel_info: PanelInfo,
    target: Target,
    *,
    steps: ThresholdSteps = ACCENT_STEPS,
    value_mappings: ValueMappings | None = None,
) -> Panel:
    """Return one big number, with its course behind it where the query covers a range; or a word for it."""
    reduce_options = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    graph_mode = kinds.BigValueGraphMode.AREA if target.build().range_val else kinds.BigValueGraphMode.NONE
    panel = (
        stat.Panel()
        .reduce_options(reduce_options)
        .graph_mode(graph_mode)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .text_mode(kinds.BigValueTextMode.VALUE)
        .thresholds(threshold_config(steps))
        .color_scheme(_color(_COLOR_BY_THRESHOLD))
    )
    null_result = dashboard.ValueMappingResult(text=panel_info.no_value, color="text", index=0)
    null_options = dashboard.DashboardSpecialValueMapOptions(match=_NULL_OR_NAN, result=null_result)
    mappings = [dashboard.SpecialValueMap(options=null_options)]
    panel = panel.mappings([*mappings, *([] if value_mappings is None else [_value_map(value_mappings)])])
    return with_defaults(panel, panel_info, [target]).build()


def time_series_panel(
    panel_info: PanelInfo,
    targets: Sequence[Target],
    *,
    steps: ThresholdSteps = (),
    color: str = "",
    stacked: bool = False,
    connect_nulls: bool = False,
    fill_opacity: int = 10,
    bars: bool = False,
    legend: bool = True,
    legend_right: bool = False,
    max_value: float | None = None,
    overrides: Sequence[Override] = (),
    transformations: Sequence[tuple[str, Mapping[str, Any]]] = (),
    time_from: str = "",
) -> Panel:
    """Return lines, areas or bars over time; ``steps`` draws dashed lines, ``shaped`` transforms first.

    Areas that are ``stacked`` have no edges, as those of zeros would hide others, and come in shades of the
    ``color``; lines that are ``bridged`` pass over short gaps. The legend stands ``beside`` where there are
    many names.
    ``back_to`` is a range of the panel's own, for what does not fit into the dashboard's.
    """
    panel = (
        timeseries.Panel()
        .min(0)
        .draw_style(kinds.GraphDrawStyle.BARS if bars else kinds.GraphDrawStyle.LINE)
        .line_width(0 if bars or stacked else 2)
        .fill_opacity(70 if bars or stacked else fill_opacity)
        .gradient_mode(kinds.GraphGradientMode.NONE if stacked else kinds.GraphGradientMode.OPACITY)
        .show_points(kinds.VisibilityMode.AUTO if connect_nulls else kinds.VisibilityMode.NEVER)
        .span_nulls(_MAX_GAP_MS if connect_nulls else False)
        .legend(_legend(visible=legend, right=legend_right))
        .tooltip(
            common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
        )
        .color_scheme(
            _color(_COLOR_SHADES if stacked else _COLOR_FIXED, color) if color else _color(_COLOR_BY_SERIES)
        )
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    if max_value is not None:
        panel = panel.max(max_value)
    elif panel_info.unit.id in _MIN_AXIS_MAX:
        panel = panel.axis_soft_max(_MIN_AXIS_MAX[panel_info.unit.id])
    if steps:
        dashed_style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(threshold_config(steps)).thresholds_style(dashed_style)
    for name, options in transformations:
        panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val=name, options=options))
    if time_from:
        panel = panel.time_from(time_from).hide_time_override(hide_time_override=True)
    # With fixed decimals an axis writes the text for no data at marks between those that it labels.
    panel_info = replace(panel_info, unit=replace(panel_info.unit, decimals=None))
    return with_defaults(panel, panel_info, targets, overrides).build()


def _legend(*, visible: bool, right: bool = False) -> common.VizLegendOptions:
    placement = kinds.LegendPlacement.RIGHT if right else kinds.LegendPlacement.BOTTOM
    legend = common.VizLegendOptions().show_legend(visible).placement(placement)
    return legend.display_mode(kinds.LegendDisplayMode.LIST).calcs([])


def bar_gauge_panel(
    panel_info: PanelInfo,
    targets: Sequence[Target],
    *,
    steps: ThresholdSteps = BLUE_STEPS,
    max_value: float | None = None,
    overrides: Sequence[Override] = (),
) -> Panel:
    """Return horizontal bars, one for each series, each with its number."""
    panel = (
        bargauge.Panel()
        .min(0)
        .display_mode(kinds.BarGaugeDisplayMode.GRADIENT)
        .value_mode(kinds.BarGaugeValueMode.TEXT)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .show_unfilled(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text(common.VizTextDisplayOptions().title_size(13).value_size(15))
        .thresholds(threshold_config(steps))
        .color_scheme(_color(_COLOR_BY_THRESHOLD))
    )
    if max_value is not None:
        panel = panel.max(max_value)
    return with_defaults(panel, panel_info, targets, overrides).build()


def heatmap_panel(panel_info: PanelInfo, target: Target) -> Panel:
    """Return a heatmap of a histogram over time."""
    # Colours begin below the lowest number, which would else look like nothing at all.
    scheme = (
        heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Purples").steps(32).min(0)
    )
    panel = (
        heatmap.Panel()
        .calculate(calculate=False)
        .color(scheme)
        .cell_gap(1)
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit(panel_info.unit.id))
        .cell_values(heatmap.CellValues().unit("none").decimals(0))
        .tooltip(heatmap.HeatmapTooltip().mode(kinds.TooltipDisplayMode.SINGLE).y_histogram(True))
    )
    return with_defaults(panel, panel_info, [target]).build()


def state_timeline_panel(
    panel_info: PanelInfo, targets: Sequence[Target], value_mappings: ValueMappings
) -> Panel:
    """Return bands of states over time."""
    panel = (
        statetimeline.Panel()
        .mappings([_value_map(value_mappings)])
        .show_value(kinds.VisibilityMode.AUTO)
        .merge_values(merge_values=True)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .legend(_legend(visible=False))
        # By steps, bands would name the steps and not the words.
        .color_scheme(_color(_COLOR_BY_SERIES))
    )
    return with_defaults(panel, panel_info, targets).build()
