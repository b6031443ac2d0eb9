"""Emulation of Grafana: variables, steps, and the data frames of a response."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tests.support.dashboards import Panel, dashboard_variables, load_dashboard
from tests.support.prometheus import Prometheus, Series

__all__ = ["SCRAPE_INTERVAL", "DashboardEmulator", "Frame", "VariableValue", "interpolate_variables"]

SCRAPE_INTERVAL: Final = 60
"""Scrape interval of the provisioned data source in seconds."""

VariableValue = str | tuple[str, ...]
"""The value of a variable, or a list of values of a multi-value one; ``$__all`` selects all."""

Frame = dict[str, list[Any]]
"""A table: columns by name, in order, of equal length."""

_VARIABLE_PATTERN: Final = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]")
_ALL: Final = "$__all"
_RELATIVE_TIME_PATTERN: Final = re.compile(r"now-(\d+)([mhdwM])")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 30 * 86400}
_SCREEN_WIDTH: Final = 1584
"""Width of the dashboard in pixels."""

_STEPS: Final = (
    *((1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120)),
    *((450, 300), (750, 600), (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200)),
    *((16200, 10800), (32400, 21600), (86400, 43200), (604800, 86400), (1814400, 604800)),
)
"""Grafana's steps by the upper bound of seconds per pixel."""


def interpolate_variables(
    text: str,
    variable_definitions: list[dict[str, Any]],
    variable_values: Mapping[str, VariableValue],
    builtin: Mapping[str, str],
) -> str:
    """Return a text with interpolated variables; raise KeyError for an undeclared one."""
    definitions_by_name = {definition["name"]: definition for definition in variable_definitions}

    def substitute(match: re.Match[str]) -> str:
        name = next(definition for definition in (match[1], match[2], match[4]) if definition)
        if name in builtin:
            return builtin[name]
        if name.isdigit():
            return match[0]  # It belongs to a replacement within the query.
        return _format_variable_value(definitions_by_name[name], variable_values[name])

    return _VARIABLE_PATTERN.sub(substitute, text)


def _format_variable_value(variable: Mapping[str, Any], value: VariableValue) -> str:
    if value == _ALL:
        return str(variable["allValue"])
    if not variable.get("multi") and not variable.get("includeAll"):
        assert isinstance(value, str)
        return value.replace("\\", "\\\\").replace("'", "\\\\'")
    values = [value] if isinstance(value, str) else list(value)
    escaped = [re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", item.replace("\\", r"\\\\")) for item in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


@dataclass
class DashboardEmulator:
    """A dashboard at a point in time with selected variables.

    A variable without a selection has Grafana's default: all, the dashboard's default, or the first option.
    """

    prometheus: Prometheus
    slug: str
    now: datetime
    variable_values: dict[str, VariableValue] = field(default_factory=dict)
    lookback: timedelta | None = None
    _query_cache: dict[object, list[Series]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Resolve the variables in order, since later ones depend on earlier ones."""
        for definition in dashboard_variables(self.slug):
            if definition["type"] == "datasource":
                self.variable_values.setdefault(definition["name"], "prometheus")
            elif definition["type"] == "query" and definition["name"] not in self.variable_values:
                self.variable_values[definition["name"]] = self._default(definition)

    def _default(self, variable: Mapping[str, Any]) -> VariableValue:
        value = variable.get("current", {}).get("value")
        if value == _ALL or variable.get("includeAll"):
            return _ALL
        options = self.variable_options(variable)
        return value if value in options else options[0]

    def variable_options(self, variable: Mapping[str, Any]) -> list[str]:
        """Return the options of a variable."""
        if (query := str(variable["query"])).startswith("query_result("):
            promql = self._interpolate(query.removeprefix("query_result(").removesuffix(")"), {})
            regex = re.compile(str(variable["regex"]).strip("/").replace("(?<", "(?P<"))
            return sorted(
                match["value"]
                for labels, _ in self.prometheus.query(promql, self.now)
                if (match := regex.search(_format_series(labels)))
            )
        match = re.fullmatch(r"label_values\((?:(.*), )?(\w+)\)", str(variable["query"]))
        assert match is not None, variable["query"]
        return self.prometheus.label_values(
            match[2], self._interpolate(match[1] or "", {}), *self._time_range()
        )

    def _interpolate(self, text: str, builtin: Mapping[str, str]) -> str:
        return interpolate_variables(text, dashboard_variables(self.slug), self.variable_values, builtin)

    def _time_range(self, panel_time_from: str = "") -> tuple[datetime, datetime]:
        """Return the range of the dashboard, or of a panel with one of its own."""
        match = _RELATIVE_TIME_PATTERN.fullmatch(
            f"now-{panel_time_from}" if panel_time_from else load_dashboard(self.slug)["time"]["from"]
        )
        assert match is not None
        lookback = timedelta(seconds=int(match[1]) * _UNIT_SECONDS[match[2]])
        if self.lookback is not None and not panel_time_from:
            lookback = self.lookback
        return self.now - lookback, self.now

    def interpolated_query(self, panel: Panel, target: Mapping[str, Any]) -> str:
        """Return the query parameters of a target."""
        return self._query_and_step(panel, target)[0]

    def _query_and_step(self, panel: Panel, target: Mapping[str, Any]) -> tuple[str, int]:
        start, end = self._time_range(panel.json.get("timeFrom", ""))
        seconds = (end - start).total_seconds()
        points = panel.json.get("maxDataPoints") or _SCREEN_WIDTH * panel.grid_position["w"] // 24
        per_point = seconds / points
        min_interval = (
            _interval_seconds(target.get("interval") or panel.json.get("interval") or "") or SCRAPE_INTERVAL
        )
        rounded_step = next((step for limit, step in _STEPS if per_point < limit), 2_592_000)
        step = max(rounded_step, min_interval)
        builtin = {
            "__interval": f"{step}s",
            "__interval_ms": str(step * 1000),
            "__rate_interval": f"{max(step + min_interval, 4 * min_interval)}s",
            "__range": f"{round(seconds)}s",
            "__range_s": str(round(seconds)),
            "__range_ms": str(round(seconds) * 1000),
        }
        return self._interpolate(target["expr"], builtin), step

    def run_query(self, panel: Panel, target: Mapping[str, Any]) -> list[Series]:
        """Return the cached response to a target."""
        start, end = self._time_range(panel.json.get("timeFrom", ""))
        query, step = self._query_and_step(panel, target)
        # The start is a multiple of the step, so that points keep their times while the range moves.
        aligned_start = start - timedelta(seconds=start.timestamp() % step)
        cache_key = query, bool(target.get("instant")), aligned_start, step
        if cache_key not in self._query_cache:
            self._query_cache[cache_key] = (
                self.prometheus.query(query, end)
                if target.get("instant")
                else self.prometheus.query_range(query, aligned_start, end, step)
            )
        return self._query_cache[cache_key]

    def frames(self, panel: Panel) -> list[Frame]:
        """Return the responses to all targets of a panel, before transformations."""
        results = [(target, self.run_query(panel, target)) for target in panel.targets]
        tables = [result for result in results if result[0].get("format") == "table"]
        found: list[Frame] = []
        for target, series in results:
            to_frames = _FORMATS[target.get("format", "time_series")]
            found += to_frames(target, series, len(tables) > 1)
        return found


def _format_series(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def _interval_seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    return int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    text = target.get("legendFormat") or "__auto"
    if text == "__auto":
        visible_labels = {name: value for name, value in labels.items() if name != "__name__"}
        if len(visible_labels) == 1:
            return next(iter(visible_labels.values()))
        return (
            "{" + ", ".join(f'{name}="{value}"' for name, value in visible_labels.items()) + "}"
            if visible_labels
            else "Value"
        )
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), text)


def _time_series(target: Mapping[str, Any], series: list[Series], _: object) -> list[Frame]:
    return [
        {
            "Time": [timestamp * 1000 for timestamp, _ in points],
            _legend(target, labels): [value for _, value in points],
        }
        for labels, points in series
    ]


def _table(target: Mapping[str, Any], series: list[Series], has_several_tables: object) -> list[Frame]:
    names = sorted({name for labels, _ in series for name in labels})
    rows = [(labels, timestamp, value) for labels, points in series for timestamp, value in points]
    number = f"Value #{target['refId']}" if has_several_tables else "Value"
    return [
        {
            "Time": [timestamp * 1000 for _, timestamp, _ in rows],
            **{name: [labels.get(name, "") for labels, _, _ in rows] for name in names},
            number: [value for _, _, value in rows],
        }
    ]


def _heatmap(target: Mapping[str, Any], series: list[Series], _: object) -> list[Frame]:
    """Convert cumulative buckets into counts per bucket."""
    sorted_series = sorted(series, key=lambda item: float(item[0]["le"]))
    timestamps = sorted({timestamp for _, points in sorted_series for timestamp, _ in points})
    frame: Frame = {"Time": [timestamp * 1000 for timestamp in timestamps]}
    lower_counts = dict.fromkeys(timestamps, 0.0)
    for labels, points in sorted_series:
        counts = dict(points)
        frame[labels["le"]] = [
            counts.get(timestamp, 0.0) - lower_counts[timestamp] for timestamp in timestamps
        ]
        lower_counts |= counts
    return [frame] if series else []


_FORMATS: Final[Mapping[str, Callable[[Mapping[str, Any], list[Series], object], list[Frame]]]] = {
    "time_series": _time_series,
    "table": _table,
    "heatmap": _heatmap,
}
