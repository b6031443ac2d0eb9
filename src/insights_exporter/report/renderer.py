"""Render the report as one HTML file without scripts and without other files, on screen and on A4 pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any, Final

from jinja2 import PackageLoader, PrefixLoader
from markupsafe import Markup

from insights_exporter.landing_page.charts import BarChart, bar_chart
from insights_exporter.landing_page.formatting import UNKNOWN_VALUE, DisplayName, LatencyBand, display_name
from insights_exporter.landing_page.renderer import BASE_STYLES, create_environment
from insights_exporter.landing_page.view_model import Bar
from insights_exporter.report.document import LatencyBands, Measure, ParameterRow, Report, UserRow
from insights_exporter.report.measures import known_sum, ratio
from insights_exporter.report.period import format_days

__all__ = ["render_html"]

MAX_NAME_LENGTH: Final = 60
"""Characters of a name on paper; the full name is in the other formats."""

_WEEKS_WIDTH, _DAYS_WIDTH = 300, 460
_MAX_LABELLED_BARS: Final = 14
"""Bars up to which each has its value above it; more would overlap."""
_MAX_TICKS: Final = 6
_SIGNS: Final = "+\N{MINUS SIGN}"
_MAX_DAYS_WITH_MONDAYS: Final = 45


@dataclass(frozen=True, slots=True)
class _RowLimits:
    """Rows that a section shows; the rest is summed up or left to the other formats."""

    top_templates: int = 12
    templates: int = 60
    organizations: int = 30
    apps: int = 15
    parameters: int = 60
    parameter_values: int = 8
    users: int = 10
    idle_accounts: int = 40
    unused_templates: int = 40


ROW_LIMITS: Final = _RowLimits()


@dataclass(frozen=True, slots=True)
class PeriodBar(Bar):
    """A bar that may belong to the period before."""

    is_previous: bool = False


@dataclass(frozen=True, slots=True)
class _Charts:
    """The charts of active users."""

    weeks: BarChart
    days: BarChart

    @classmethod
    def of(cls, report: Report) -> _Charts:
        """Return the charts of a report."""
        weeks = [
            PeriodBar(
                format_days(row.first_day, row.last_day) + ("" if row.is_over else " (so far)"),
                row.active_users,
                f"{row.first_day.day} {row.first_day:%b}" if _has_tick(index, len(report.weeks)) else "",
                incomplete=not row.is_over,
                is_previous=row.last_day < report.period.first_day,
            )
            for index, row in enumerate(report.weeks)
        ]
        days = [
            PeriodBar(
                f"{row.day:%A}, {format_days(row.day, row.day)}" + ("" if row.is_over else " (so far)"),
                row.active_users,
                f"{row.day.day} {row.day:%b}" if _is_tick(row.day, len(report.days)) else "",
                incomplete=not row.is_over,
            )
            for row in report.days
        ]
        return cls(bar_chart(weeks, _WEEKS_WIDTH), bar_chart(days, _DAYS_WIDTH))


def render_html(report: Report) -> str:
    """Return the report as an HTML document."""
    template = _ENVIRONMENT.get_template("report/report.html")
    return template.render(report=report, charts=_Charts.of(report))


def _has_tick(index: int, count: int) -> bool:
    return index % -(-count // _MAX_TICKS) == 0


def _is_tick(day: date, days: int) -> bool:
    """Return whether a day has a label: each day of a week, Mondays of a month, else the first of a month."""
    if days <= _MAX_LABELLED_BARS // 2:
        return True
    return day.weekday() == 0 if days <= _MAX_DAYS_WITH_MONDAYS else day.day == 1


# Formats


def _hours(seconds: float | None) -> str:
    """Return hours, with one decimal below 10."""
    if seconds is None:
        return UNKNOWN_VALUE
    hours = seconds / 3600
    return f"{hours:,.1f}" if hours < 9.95 else f"{hours:,.0f}"


def _number(value: float | None) -> str:
    """Return a count."""
    return UNKNOWN_VALUE if value is None else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    """Return a mean with one decimal."""
    return UNKNOWN_VALUE if value is None else f"{value:,.1f}"


def _percent(ratio: float | None) -> str:
    """Return a ratio in per cent."""
    if ratio is None:
        return UNKNOWN_VALUE
    percent = 100 * ratio
    if 0 < percent < 1:
        return "<1 %"
    return ">99 %" if 99 < percent < 100 else f"{percent:,.0f} %"


def _change(measure: Measure) -> str:
    """Return the relative change in per cent with a sign; nothing if it is unknown."""
    if measure.change is None:
        return "" if not measure.value or measure.previous is None else "new"
    return f"{_signed(100 * measure.change)} %"


def _points(measure: Measure) -> str:
    """Return the change of a ratio in percentage points; nothing if it is unknown."""
    if measure.value is None or measure.previous is None:
        return ""
    points = _signed(100 * (measure.value - measure.previous))
    return f"{points} {'point' if points.lstrip(_SIGNS) == '1' else 'points'}"


def _signed(number: float) -> str:
    """Return a rounded number with a sign."""
    rounded = round(number)
    sign = "" if rounded == 0 else _SIGNS[rounded < 0]
    return f"{sign}{abs(rounded):,}"


def _name(text: str, tooltip: str = "") -> DisplayName:
    return display_name(text, MAX_NAME_LENGTH, tooltip=tooltip)


def _users_by_band(bands: LatencyBands) -> dict[LatencyBand, int]:
    return {
        LatencyBand.GOOD: bands.good or 0,
        LatencyBand.FAIR: bands.fair or 0,
        LatencyBand.SLOW: bands.slow or 0,
    }


def _total(rows: Iterable[Any]) -> float:
    """Return the time of all rows."""
    return known_sum(row.usage_seconds.value for row in rows)


def _unused_options(parameter: ParameterRow) -> list[str]:
    return [value.display_name for value in parameter.values if value.is_unused]


def _lowest(users: Sequence[UserRow]) -> Sequence[UserRow]:
    """Return the users with the least time, lowest first, without those of the top list."""
    return users[ROW_LIMITS.users :][: -ROW_LIMITS.users - 1 : -1]


def _stylesheet() -> Markup:
    style = files(__package__).joinpath("templates/style.css").read_text(encoding="utf-8")
    return Markup(BASE_STYLES + style)  # noqa: S704  # Files of this package.


_ENVIRONMENT: Final = create_environment(
    PrefixLoader(
        {
            "report": PackageLoader(__package__),
            "landing_page": PackageLoader("insights_exporter.landing_page"),
        }
    )
)
_ENVIRONMENT.filters |= {
    "change": _change,
    "decimal": _decimal,
    "display": _name,
    "hours": _hours,
    "number": _number,
    "percent": _percent,
    "points": _points,
    "total": _total,
    "unused_options": _unused_options,
    "users_by_band": _users_by_band,
}
_ENVIRONMENT.globals |= {
    "format_days": format_days,
    "limits": ROW_LIMITS,
    "lowest": _lowest,
    "max_labelled_bars": _MAX_LABELLED_BARS,
    "ratio": ratio,
    "stylesheet": _stylesheet(),
}
