"""What Grafana does before and after it asks Prometheus: variables, steps, and the frames of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tests.support.boards import Panel, board, variables
from tests.support.prometheus import Prometheus, Series

__all__ = ["SCRAPE_INTERVAL", "Chosen", "Frame", "Viewer", "interpolated"]

SCRAPE_INTERVAL: Final = 60
"""Seconds between scrapes, as the provisioned data source tells Grafana."""

Chosen = str | tuple[str, ...]
"""The value of a variable, or several of one that takes several; ``$__all`` stands for all."""

Frame = dict[str, list[Any]]
"""A table: columns by name, in order, all equally long."""

_VARIABLE: Final = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]")
_ALL: Final = "$__all"
_SPAN: Final = re.compile(r"now-(\d+)([mhdwM])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 30 * 86400}
_WIDTH: Final = 1584
"""Pixels of a screen's width that panels share."""

_STEPS: Final = (
    *((1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120)),
    *((450, 300), (750, 600), (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200)),
    *((16200, 10800), (32400, 21600), (86400, 43200), (604800, 86400), (1814400, 604800)),
)
"""Below which seconds per pixel Grafana takes which step."""


def interpolated(
    text: str, declared: list[dict[str, Any]], chosen: Mapping[str, Chosen], builtin: Mapping[str, str]
) -> str:
    """Return a text with variables filled in as for a query; raises KeyError for one that nobody declared."""
    known = {one["name"]: one for one in declared}

    def filled(match: re.Match[str]) -> str:
        name = next(one for one in (match[1], match[2], match[4]) if one)
        if name in builtin:
            return builtin[name]
        if name.isdigit():
            return match[0]  # It belongs to a replacement within the query.
        return _in_query(known[name], chosen[name])

    return _VARIABLE.sub(filled, text)


def _in_query(variable: Mapping[str, Any], value: Chosen) -> str:
    if value == _ALL:
        return str(variable["allValue"])
    if not variable.get("multi") and not variable.get("includeAll"):
        assert isinstance(value, str)
        return value.replace("\\", "\\\\").replace("'", "\\\\'")
    values = [value] if isinstance(value, str) else list(value)
    escaped = [re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", one.replace("\\", r"\\\\")) for one in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


@dataclass
class Viewer:
    """Somebody who looks at a dashboard at a moment, with what they chose at its top.

    What is not chosen has the value that Grafana takes: all, the dashboard's default, or the first there is.
    """

    prometheus: Prometheus
    slug: str
    now: datetime
    chosen: dict[str, Chosen] = field(default_factory=dict)
    back: timedelta | None = None
    _answers: dict[object, list[Series]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Fill the variables, one after the other, as later ones depend on earlier ones."""
        for one in variables(self.slug):
            if one["type"] == "datasource":
                self.chosen.setdefault(one["name"], "prometheus")
            elif one["type"] == "query" and one["name"] not in self.chosen:
                self.chosen[one["name"]] = self._default(one)

    def _default(self, variable: Mapping[str, Any]) -> Chosen:
        value = variable.get("current", {}).get("value")
        if value == _ALL or variable.get("includeAll"):
            return _ALL
        options = self.options(variable)
        return value if value in options else options[0]

    def options(self, variable: Mapping[str, Any]) -> list[str]:
        """Return what a variable offers."""
        match = re.fullmatch(r"label_values\((?:(.*), )?(\w+)\)", str(variable["query"]))
        assert match is not None, variable["query"]
        return self.prometheus.values(match[2], self._filled(match[1] or "", {}), *self._span())

    def _filled(self, text: str, builtin: Mapping[str, str]) -> str:
        return interpolated(text, variables(self.slug), self.chosen, builtin)

    def _span(self, own: str = "") -> tuple[datetime, datetime]:
        """Return the range of the dashboard, or of a panel with one of its own."""
        match = _SPAN.fullmatch(f"now-{own}" if own else board(self.slug)["time"]["from"])
        assert match is not None
        back = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        if self.back is not None and not own:
            back = self.back
        return self.now - back, self.now

    def query(self, panel: Panel, target: Mapping[str, Any]) -> str:
        """Return what Prometheus is asked for a target."""
        return self._timed(panel, target)[0]

    def _timed(self, panel: Panel, target: Mapping[str, Any]) -> tuple[str, int]:
        start, end = self._span(panel.json.get("timeFrom", ""))
        seconds = (end - start).total_seconds()
        points = panel.json.get("maxDataPoints") or _WIDTH * panel.place["w"] // 24
        per_point = seconds / points
        least = _seconds(target.get("interval") or panel.json.get("interval") or "") or SCRAPE_INTERVAL
        rounded = next((step for below, step in _STEPS if per_point < below), 2_592_000)
        step = max(rounded, least)
        builtin = {
            "__interval": f"{step}s",
            "__interval_ms": str(step * 1000),
            "__rate_interval": f"{max(step + least, 4 * least)}s",
            "__range": f"{round(seconds)}s",
            "__range_s": str(round(seconds)),
            "__range_ms": str(round(seconds) * 1000),
        }
        return self._filled(target["expr"], builtin), step

    def ask(self, panel: Panel, target: Mapping[str, Any]) -> list[Series]:
        """Return what Prometheus answers to a target; it is asked once."""
        start, end = self._span(panel.json.get("timeFrom", ""))
        query, step = self._timed(panel, target)
        # The first step is a whole multiple, so that points stay where they are while time goes on.
        begin = start - timedelta(seconds=start.timestamp() % step)
        asked = query, bool(target.get("instant")), begin, step
        if asked not in self._answers:
            self._answers[asked] = (
                self.prometheus.instant(query, end)
                if target.get("instant")
                else self.prometheus.range(query, begin, end, step)
            )
        return self._answers[asked]

    def frames(self, panel: Panel) -> list[Frame]:
        """Return the answers to all targets of a panel, before any transformation."""
        answers = [(target, self.ask(panel, target)) for target in panel.targets]
        tables = [one for one in answers if one[0].get("format") == "table"]
        found: list[Frame] = []
        for target, series in answers:
            make = _FORMATS[target.get("format", "time_series")]
            found += make(target, series, len(tables) > 1)
        return found


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    return int(match[1]) * _UNITS[match[2]] if match else 0


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    text = target.get("legendFormat") or "__auto"
    if text == "__auto":
        shown = {name: value for name, value in labels.items() if name != "__name__"}
        if len(shown) == 1:
            return next(iter(shown.values()))
        return (
            "{" + ", ".join(f'{name}="{value}"' for name, value in shown.items()) + "}" if shown else "Value"
        )
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), text)


def _time_series(target: Mapping[str, Any], series: list[Series], _: object) -> list[Frame]:
    return [
        {"Time": [moment * 1000 for moment, _ in points], _legend(target, labels): [one for _, one in points]}
        for labels, points in series
    ]


def _table(target: Mapping[str, Any], series: list[Series], several: object) -> list[Frame]:
    names = sorted({name for labels, _ in series for name in labels})
    rows = [(labels, moment, value) for labels, points in series for moment, value in points]
    number = f"Value #{target['refId']}" if several else "Value"
    return [
        {
            "Time": [moment * 1000 for _, moment, _ in rows],
            **{name: [labels.get(name, "") for labels, _, _ in rows] for name in names},
            number: [value for _, _, value in rows],
        }
    ]


def _heatmap(target: Mapping[str, Any], series: list[Series], _: object) -> list[Frame]:
    """Take cumulative buckets apart: each keeps what the one below it does not have."""
    ordered = sorted(series, key=lambda one: float(one[0]["le"]))
    moments = sorted({moment for _, points in ordered for moment, _ in points})
    frame: Frame = {"Time": [moment * 1000 for moment in moments]}
    below = dict.fromkeys(moments, 0.0)
    for labels, points in ordered:
        counts = dict(points)
        frame[labels["le"]] = [counts.get(moment, 0.0) - below[moment] for moment in moments]
        below |= counts
    return [frame] if series else []


_FORMATS: Final[Mapping[str, Callable[[Mapping[str, Any], list[Series], object], list[Frame]]]] = {
    "time_series": _time_series,
    "table": _table,
    "heatmap": _heatmap,
}
