"""Panels of each kind with the defaults of all dashboards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    heatmap,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models import heatmap as heat

from dashboards.generator.queries import self_metrics
from dashboards.generator.targets import Target, expressions
from dashboards.generator.theme import (
    ACCENT_STEPS,
    AMBER_LINE,
    BLUE,
    DATASOURCE,
    GREEN_LINE,
    GREY,
    NO_DATA,
    RED_LINE,
    ThresholdSteps,
    threshold_config,
)
from dashboards.generator.units import Unit
from insights_exporter.metrics import catalogue

__all__ = [
    "AGENT_COLORS",
    "APP_FAMILY_NAMES",
    "LIMIT_LINE",
    "SMALL_SHARE_MAPPING",
    "WORKSPACE_COLORS",
    "Override",
    "Panel",
    "PanelInfo",
    "ValueMappings",
    "bar_chart_panel",
    "bar_gauge_panel",
    "fixed_color",
    "heatmap_panel",
    "null_mapping",
    "panel_description",
    "state_timeline_panel",
    "threshold_properties",
    "time_series_panel",
    "value_mapping",
    "with_defaults",
]

Panel = dashboard.Panel
Override = tuple[str, Mapping[str, Any]]
"""The name of a field, and the properties that replace the panel's defaults."""

ValueMappings = Mapping[str, tuple[str, str]]
"""Text and colour by value."""

LIMIT_LINE: Final[Mapping[str, Any]] = {
    "color": {"mode": "fixed", "fixedColor": RED_LINE},
    "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
    "custom.fillOpacity": 0,
    "custom.lineWidth": 1,
}

SMALL_SHARE_MAPPING: Final[Mapping[str, Any]] = {
    "type": "range",
    "options": {"from": 1e-9, "to": 0.009_999, "result": {"text": "<1%", "index": 0}},
}
"""Text for shares that would be rounded to 0 %."""


def fixed_color(color: str) -> dict[str, Any]:
    """Return the properties of a fixed colour."""
    return {"color": {"mode": "fixed", "fixedColor": color}}


def _fixed_colors(**colors: str) -> list[Override]:
    return [(name, fixed_color(color)) for name, color in colors.items()]


AGENT_COLORS: Final = _fixed_colors(
    connected=GREEN_LINE, connecting=BLUE, disconnected=RED_LINE, timeout=AMBER_LINE
)
WORKSPACE_COLORS: Final = _fixed_colors(running=GREEN_LINE, stopped=GREY, failed=RED_LINE)
"""Colours of the states that the exporter always serves."""

APP_FAMILY_NAMES: Final[Mapping[str, str]] = {
    "vscode": "VS Code",
    "jetbrains": "JetBrains",
    "ssh": "SSH",
    "sftp": "SFTP",
    "reconnecting-pty": "Web Terminal",
    "workspace_app": "Apps of templates",
    "unknown": "Unknown",
}
"""Texts for the values of the label ``family`` of apps."""

_HISTOGRAM_SUFFIX: Final = r"(?:_bucket|_count|_sum)?"
_LONGEST_FIRST: Final = sorted((family.name for family in catalogue.FAMILIES), key=len, reverse=True)
_OTHER_METRICS: Final = r"up|process_\w+|(?:\w+:)?coderd_\w+?(?:_bucket\b|:\w+|\b)"
"""Metrics of Prometheus and of coderd, and what recording rules make of them."""

_METRIC_NAME: Final = re.compile(
    rf"\b({'|'.join(_LONGEST_FIRST)}){_HISTOGRAM_SUFFIX}\b|\b({_OTHER_METRICS})\b"
)

_MIN_AXIS_MAX: Final = {"none": 1.0, "percentunit": 0.1}
"""Minimum of the upper end of an axis, so that a line at 0 is drawn at the bottom."""

_NO_UNIT: Final = "none"
_MAX_GAP_MS: Final = 3_600_000
_COLOR_BY_THRESHOLD: Final = dashboard.FieldColorModeId.THRESHOLDS
_COLOR_BY_SERIES: Final = dashboard.FieldColorModeId.PALETTE_CLASSIC
_COLOR_FIXED: Final = dashboard.FieldColorModeId.FIXED
_COLOR_SHADES: Final = dashboard.FieldColorModeId.SHADES


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelInfo:
    """Title, description, unit, and the text of an empty panel."""

    title: str
    description: str
    unit: Unit
    no_value: str = NO_DATA


def null_mapping(text: str, color: str) -> dict[str, Any]:
    """Return the value mapping of missing values."""
    result = {"text": text, "color": color, "index": 0}
    return {"type": "special", "options": {"match": "null+nan", "result": result}}


def value_mapping(value_mappings: ValueMappings) -> dict[str, Any]:
    """Return a mapping of values to texts and colours."""
    options = {
        key: {"text": text, "color": color, "index": index}
        for index, (key, (text, color)) in enumerate(value_mappings.items())
    }
    return {"type": "value", "options": options}


def threshold_properties(steps: ThresholdSteps) -> dict[str, Any]:
    """Return the properties of a field that is coloured by thresholds."""
    step_models = [{"value": value, "color": color} for value, color in steps]
    return {"thresholds": {"mode": "absolute", "steps": step_models}, "color": {"mode": "thresholds"}}


class _PanelBuilder(Protocol):
    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: kinds.DataSourceRef, /) -> Self: ...
    def with_target(self, target: Target, /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def decimals(self, decimals: float, /) -> Self: ...
    def no_value(self, no_value: str, /) -> Self: ...
    def override_by_field_type(
        self, field_type: str, properties: list[dashboard.DynamicConfigValue], /
    ) -> Self: ...
    def override_by_name(self, name: str, properties: list[dashboard.DynamicConfigValue], /) -> Self: ...


BuilderT = TypeVar("BuilderT", bound=_PanelBuilder)


def panel_description(panel_info: PanelInfo, queries: Iterable[str]) -> str:
    """Return the description of a panel with its unit and the metrics of its queries."""
    names = {
        match.group(1) or match.group(2): None
        for query in queries
        for match in _METRIC_NAME.finditer(query.replace(self_metrics.fresh(), ""))
    }
    metrics = ", ".join(f"`{name}`" for name in names)
    return f"{panel_info.description}\n\nUnit: {panel_info.unit.description}. Metrics: {metrics}."


def with_defaults(
    panel: BuilderT, panel_info: PanelInfo, targets: Sequence[Target], overrides: Sequence[Override] = ()
) -> BuilderT:
    """Return a panel with title, description, unit, data source, targets and overrides."""
    panel = (
        panel.title(panel_info.title)
        .description(panel_description(panel_info, expressions(targets)))
        .datasource(DATASOURCE)
        .unit(_NO_UNIT if panel_info.unit.is_custom else panel_info.unit.id)
        .no_value(panel_info.no_value)
    )
    if panel_info.unit.is_custom:
        # Grafana's dashboard linter knows no custom units, and looks at the defaults only.
        unit = dashboard.DynamicConfigValue(id_val="unit", value=panel_info.unit.id)
        panel = panel.override_by_field_type("number", [unit])
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


def time_series_panel(  # noqa: PLR0913 - each argument is an option of the panel.
    panel_info: PanelInfo,
    targets: Sequence[Target],
    *,
    color: str = "",
    stacked: bool = False,
    connect_nulls: bool = False,
    fill_opacity: int = 10,
    bars: bool = False,
    legend: bool = True,
    legend_right: bool = False,
    max_value: float | None = None,
    steps: ThresholdSteps = (),
    overrides: Sequence[Override] = (),
) -> Panel:
    """Return lines, stacked areas or bars over time; ``steps`` draws dashed lines.

    ``connect_nulls`` draws lines across gaps of up to an hour.
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
    # With fixed decimals an axis writes the text of missing values at unlabelled ticks.
    panel_info = replace(panel_info, unit=replace(panel_info.unit, decimals=None))
    return with_defaults(panel, panel_info, targets, overrides).build()


def _legend(*, visible: bool, right: bool = False) -> common.VizLegendOptions:
    placement = kinds.LegendPlacement.RIGHT if right else kinds.LegendPlacement.BOTTOM
    legend = common.VizLegendOptions().show_legend(visible).placement(placement)
    return legend.display_mode(kinds.LegendDisplayMode.LIST).calcs([])


def bar_chart_panel(  # noqa: PLR0913 - each argument is an option of the panel.
    panel_info: PanelInfo,
    targets: Sequence[Target],
    *,
    x_field: str,
    color: str,
    transformations: Sequence[tuple[str, Mapping[str, Any]]],
    overrides: Sequence[Override] = (),
    stacked: bool = False,
) -> Panel:
    """Return bars over a category axis, which do not depend on the time range of the dashboard."""
    panel = (
        barchart.Panel()
        .min(0)
        .x_field(x_field)
        .bar_width(0.8)
        .group_width(0.9)
        .fill_opacity(80)
        .line_width(0)
        # The label of a stacked part would be its height, which is none of the values.
        .show_value(kinds.VisibilityMode.NEVER if stacked else kinds.VisibilityMode.AUTO)
        .text(common.VizTextDisplayOptions().value_size(13))
        .x_tick_label_max_length(20)
        .x_tick_label_spacing(60)
        .legend(_legend(visible=stacked))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.NONE))
        .color_scheme(_color(_COLOR_FIXED, color))
        .axis_soft_max(_MIN_AXIS_MAX["none"])
    )
    if stacked:
        panel = panel.stacking(kinds.StackingMode.NORMAL)
    for name, options in transformations:
        panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val=name, options=options))
    return with_defaults(panel, panel_info, targets, overrides).build()


def bar_gauge_panel(  # noqa: PLR0913 - each argument is an option of the panel.
    panel_info: PanelInfo,
    targets: Sequence[Target],
    *,
    steps: ThresholdSteps = ACCENT_STEPS,
    overrides: Sequence[Override] = (),
    name_label: str = "",
    repeat: str = "",
    max_per_row: int = 4,
) -> Panel:
    """Return horizontal bars, one per series, named by ``name_label`` or by the legend.

    ``repeat`` repeats the panel for the values of a variable.
    """
    panel = (
        bargauge.Panel()
        .min(0)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .value_mode(kinds.BarGaugeValueMode.TEXT)
        .name_placement(kinds.BarGaugeNamePlacement.LEFT)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .show_unfilled(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text(common.VizTextDisplayOptions().title_size(12).value_size(13))
        .thresholds(threshold_config(steps))
        .color_scheme(_color(_COLOR_BY_THRESHOLD))
    )
    if name_label:
        # Without a display name, Grafana hides the name of a single bar.
        panel = panel.display_name(f"${{__field.labels.{name_label}}}")
    if repeat:
        # Bars of panels side by side have one height, whatever their number.
        panel = panel.sizing(kinds.BarGaugeSizing.MANUAL).min_viz_height(16).max_viz_height(26)
        panel = panel.repeat(repeat).repeat_direction("h").max_per_row(max_per_row)
    return with_defaults(panel, panel_info, targets, overrides).build()


def heatmap_panel(panel_info: PanelInfo, target: Target) -> Panel:
    """Return a heatmap of a histogram over time."""
    # The scale starts at 0. Otherwise the smallest value is invisible.
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
    """Return states over time."""
    results = {
        key: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (key, (text, color)) in enumerate(value_mappings.items())
    }
    panel = (
        statetimeline.Panel()
        .mappings([dashboard.ValueMap(options=results)])
        .show_value(kinds.VisibilityMode.AUTO)
        .merge_values(merge_values=True)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .legend(_legend(visible=False))
        # With colours by threshold, the bands show the thresholds and not the mapped texts.
        .color_scheme(_color(_COLOR_BY_SERIES))
    )
    return with_defaults(panel, panel_info, targets).build()
