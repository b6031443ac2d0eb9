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

from insights_exporter.bundle.dashboards.house import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    IN_ACCENT,
    IN_BLUE,
    PROMETHEUS,
    RED,
    Steps,
    thresholds,
)
from insights_exporter.bundle.dashboards.targets import Target, expressions
from insights_exporter.bundle.dashboards.units import Unit
from insights_exporter.metrics import catalogue

__all__ = [
    "AGENTS",
    "FORECAST",
    "LIMIT",
    "WORKSPACES",
    "About",
    "Built",
    "Override",
    "bars",
    "described",
    "dressed",
    "graph",
    "number",
    "painted",
    "spectrum",
    "states",
]

Built = dashboard.Panel
Override = tuple[str, Mapping[str, Any]]
"""The name of a field, and the properties that it has instead of the panel's."""

LIMIT: Final[Mapping[str, Any]] = {
    "color": {"mode": "fixed", "fixedColor": RED},
    "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
    "custom.fillOpacity": 0,
    "custom.lineWidth": 1,
}
"""How a line looks that others should stay below."""

FORECAST: Final[Mapping[str, Any]] = {
    "custom.lineStyle": {"fill": "dash", "dash": [2, 6]},
    "custom.fillOpacity": 0,
}
"""How a line looks that tells what may come."""


def painted(color: str) -> dict[str, Any]:
    """Return a colour of a field's own."""
    return {"color": {"mode": "fixed", "fixedColor": color}}


def _painted(**colors: str) -> list[Override]:
    return [(name, painted(color)) for name, color in colors.items()]


AGENTS: Final = _painted(connected=GREEN, connecting=BLUE, disconnected=RED, timeout=AMBER)
WORKSPACES: Final = _painted(running=GREEN, stopped=GREY, failed=RED, dormant=AMBER)
"""What states look like; those named are served even when nothing is in them."""

_OF_A_HISTOGRAM: Final = r"(?:_bucket|_count|_sum)?"
_BY_LENGTH: Final = sorted((family.name for family in catalogue.FAMILIES), key=len, reverse=True)
_NAMES: Final = re.compile(rf"\b({'|'.join(_BY_LENGTH)}){_OF_A_HISTOGRAM}\b|\b(up|process_\w+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a panel says of itself: a short title, what it shows, in which unit, and what if there is none."""

    title: str
    what: str
    unit: Unit
    empty: str = "No data"


class _Panel(Protocol):
    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: kinds.DataSourceRef, /) -> Self: ...
    def with_target(self, target: Target, /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def decimals(self, decimals: float, /) -> Self: ...
    def no_value(self, no_value: str, /) -> Self: ...
    def override_by_name(self, name: str, properties: list[dashboard.DynamicConfigValue], /) -> Self: ...


P = TypeVar("P", bound=_Panel)


def described(about: About, queries: Iterable[str]) -> str:
    """Return the text behind a panel's information mark, with the metrics that its queries name."""
    found = {match.group(1) or match.group(2): None for query in queries for match in _NAMES.finditer(query)}
    metrics = ", ".join(f"`{name}`" for name in found)
    return f"{about.what}\n\nUnit: {about.unit.word}. Metrics: {metrics}."


def dressed(panel: P, about: About, targets: Sequence[Target], overrides: Sequence[Override] = ()) -> P:
    """Give a panel what every panel has."""
    panel = (
        panel.title(about.title)
        .description(described(about, expressions(targets)))
        .datasource(PROMETHEUS)
        .unit(about.unit.id)
        .no_value(about.empty)
    )
    if about.unit.decimals is not None:
        panel = panel.decimals(about.unit.decimals)
    for target in targets:
        panel = panel.with_target(target)
    for name, properties in overrides:
        values = [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()]
        panel = panel.override_by_name(name, values)
    return panel


def _color(mode: dashboard.FieldColorModeId, fixed: str = "") -> build.FieldColor:
    color = build.FieldColor().mode(mode)
    return color.fixed_color(fixed) if fixed else color


_LEAST_HEIGHT: Final = {"none": 1.0, "percentunit": 0.1}
"""How far an axis reaches at least, so that nothing at all does not look like a hundred."""

_ABSENT: Final = dashboard.SpecialValueMatch.NULL_AND_NAN

_BRIDGED: Final = 3_600_000
"""Gaps of up to an hour, in milliseconds."""

_BY_STEP: Final = dashboard.FieldColorModeId.THRESHOLDS
_IN_TURN: Final = dashboard.FieldColorModeId.PALETTE_CLASSIC
_FIXED: Final = dashboard.FieldColorModeId.FIXED
_SHADES: Final = dashboard.FieldColorModeId.SHADES


Words = Mapping[str, tuple[str, str]]
"""A text and a colour for each number."""


def _mapped(words: Words) -> dashboard.ValueMap:
    results = {
        key: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (key, (text, color)) in enumerate(words.items())
    }
    return dashboard.ValueMap(options=results)


def number(about: About, target: Target, *, steps: Steps = IN_ACCENT, words: Words | None = None) -> Built:
    """Return one big number, with its course behind it where the query covers a range; or a word for it."""
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    course = kinds.BigValueGraphMode.AREA if target.build().range_val else kinds.BigValueGraphMode.NONE
    panel = (
        stat.Panel()
        .reduce_options(reduced)
        .graph_mode(course)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .text_mode(kinds.BigValueTextMode.VALUE)
        .thresholds(thresholds(steps))
        .color_scheme(_color(_BY_STEP))
    )
    nothing = dashboard.ValueMappingResult(text=about.empty, color="text", index=0)
    absent = dashboard.DashboardSpecialValueMapOptions(match=_ABSENT, result=nothing)
    mappings = [dashboard.SpecialValueMap(options=absent)]
    panel = panel.mappings([*mappings, *([] if words is None else [_mapped(words)])])
    return dressed(panel, about, [target]).build()


def graph(  # noqa: PLR0913 - a graph has that many traits.
    about: About,
    targets: Sequence[Target],
    *,
    steps: Steps = (),
    color: str = "",
    stacked: bool = False,
    bridged: bool = False,
    filled: int = 10,
    as_bars: bool = False,
    legend: bool = True,
    beside: bool = False,
    most: float | None = None,
    overrides: Sequence[Override] = (),
    shaped: Sequence[tuple[str, Mapping[str, Any]]] = (),
    back_to: str = "",
) -> Built:
    """Return lines, areas or bars over time; ``steps`` draws dashed lines, ``shaped`` transforms first.

    Areas that are ``stacked`` have no edges, as those of zeros would hide others, and come in shades of the
    ``color``; lines that are ``bridged`` pass over short gaps. The legend stands ``beside`` where there are
    many names.
    ``back_to`` is a range of the panel's own, for what does not fit into the dashboard's.
    """
    panel = (
        timeseries.Panel()
        .min(0)
        .draw_style(kinds.GraphDrawStyle.BARS if as_bars else kinds.GraphDrawStyle.LINE)
        .line_width(0 if as_bars or stacked else 2)
        .fill_opacity(70 if as_bars or stacked else filled)
        .gradient_mode(kinds.GraphGradientMode.NONE if stacked else kinds.GraphGradientMode.OPACITY)
        .show_points(kinds.VisibilityMode.AUTO if bridged else kinds.VisibilityMode.NEVER)
        .span_nulls(_BRIDGED if bridged else False)
        .legend(_legend(shown=legend, beside=beside))
        .tooltip(
            common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
        )
        .color_scheme(_color(_SHADES if stacked else _FIXED, color) if color else _color(_IN_TURN))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    if most is not None:
        panel = panel.max(most)
    elif about.unit.id in _LEAST_HEIGHT:
        panel = panel.axis_soft_max(_LEAST_HEIGHT[about.unit.id])
    if steps:
        dashed = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds(steps)).thresholds_style(dashed)
    for name, options in shaped:
        panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val=name, options=options))
    if back_to:
        panel = panel.time_from(back_to).hide_time_override(hide_time_override=True)
    # With fixed decimals an axis writes the text for no data at marks between those that it labels.
    about = replace(about, unit=replace(about.unit, decimals=None))
    return dressed(panel, about, targets, overrides).build()


def _legend(*, shown: bool, beside: bool = False) -> common.VizLegendOptions:
    place = kinds.LegendPlacement.RIGHT if beside else kinds.LegendPlacement.BOTTOM
    legend = common.VizLegendOptions().show_legend(shown).placement(place)
    return legend.display_mode(kinds.LegendDisplayMode.LIST).calcs([])


def bars(
    about: About,
    targets: Sequence[Target],
    *,
    steps: Steps = IN_BLUE,
    most: float | None = None,
    overrides: Sequence[Override] = (),
) -> Built:
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
        .thresholds(thresholds(steps))
        .color_scheme(_color(_BY_STEP))
    )
    if most is not None:
        panel = panel.max(most)
    return dressed(panel, about, targets, overrides).build()


def spectrum(about: About, target: Target) -> Built:
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
        .y_axis(heatmap.YAxisConfig().unit(about.unit.id))
        .cell_values(heatmap.CellValues().unit("none").decimals(0))
        .tooltip(heatmap.HeatmapTooltip().mode(kinds.TooltipDisplayMode.SINGLE).y_histogram(True))
    )
    return dressed(panel, about, [target]).build()


def states(about: About, targets: Sequence[Target], words: Words) -> Built:
    """Return bands of states over time."""
    panel = (
        statetimeline.Panel()
        .mappings([_mapped(words)])
        .show_value(kinds.VisibilityMode.AUTO)
        .merge_values(merge_values=True)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .legend(_legend(shown=False))
        # By steps, bands would name the steps and not the words.
        .color_scheme(_color(_IN_TURN))
    )
    return dressed(panel, about, targets).build()
