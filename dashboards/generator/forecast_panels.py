"""Panels of weekly users and their forecast, over weeks instead of the range of the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo, bar_chart_panel, fixed_color
from dashboards.generator.queries import forecast, usage
from dashboards.generator.tables import Column, custom_table_panel
from dashboards.generator.targets import table_query
from dashboards.generator.theme import ACCENT
from dashboards.generator.units import Unit
from insights_exporter.metrics import catalogue

__all__ = ["weekly_users", "weekly_users_forecast"]

_WEEK: Final = Unit("time:MMM D", "first day of the week")
_WEEKS_AHEAD: Final = range(1, 5)


def _next_weeks() -> str:
    """Return the start of each forecast week in milliseconds."""
    newest = -usage.WEEK_BUCKETS.newest_start_days
    return usage.dates_by_ago((-week, newest + 7 * week) for week in _WEEKS_AHEAD)


def _by_week(names: Mapping[str, str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the transformations of tables by ``ago`` into one table; the first name is that of the week."""
    week = next(iter(names.values()))
    organize_options = {
        "excludeByName": {"Time": True, "ago": True},
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": names,
    }
    convert_options = {"conversions": [{"targetField": week, "destinationType": "time"}], "fields": {}}
    return [
        ("merge", {}),
        # Before the conversion, because Grafana takes any other time field for "Time".
        ("organize", organize_options),
        ("convertFieldType", convert_options),
        ("sortBy", {"fields": {}, "sort": [{"field": week}]}),
    ]


def weekly_users() -> Panel:
    """Return the last weeks of active users as bars, and the forecast as bars of two parts."""
    users = usage.active_users_by_ago(catalogue.DEPLOYMENT_ACTIVE_USERS, usage.WEEK_BUCKETS, {})
    start = usage.bucket_start_times(users, usage.WEEK_BUCKETS)
    ahead = forecast.weekly_users_forecast(_WEEKS_AHEAD)
    targets = [
        table_query(text)
        for text in (
            f"{start} or ({_next_weeks()}) and on (ago) ({ahead.low})",
            users,
            ahead.low,
            f"({ahead.high}) - on (ago) ({ahead.low})",
        )
    ]
    names = {
        "Value #A": "Week of",
        "Value #B": "Active users",
        "Value #C": "Forecast, low end",
        "Value #D": "Forecast, width of the range",
    }
    description = (
        "Distinct users of any template in each of the last twelve complete weeks, and a forecast of four "
        "weeks: the trend of the last eight weeks plus and minus twice the standard error, at most the "
        "active accounts. The light part of a bar reaches from the low to the high end. The forecast appears "
        "once each of the last four weeks had users."
    )
    return bar_chart_panel(
        PanelInfo(title="Weekly users and forecast", description=description, unit=units.USERS),
        targets,
        x_field="Week of",
        color=ACCENT,
        stacked=True,
        overrides=[
            ("Week of", {"unit": "time:MMM D", "noValue": " "}),
            ("Forecast, low end", fixed_color("semi-dark-blue")),
            ("Forecast, width of the range", fixed_color("super-light-blue")),
        ],
        transformations=_by_week(names),
    )


def weekly_users_forecast() -> Panel:
    """Return the ends and the middle of the forecast by week."""
    ahead = forecast.weekly_users_forecast(_WEEKS_AHEAD)
    weeks = f"({_next_weeks()}) and on (ago) ({ahead.expected})"
    columns = [
        Column(source="A", title="Week of", unit=_WEEK, width=75),
        Column(source="B", title="Low", unit=units.USERS, min_width=55),
        Column(source="C", title="Expected", unit=units.USERS),
        Column(source="D", title="High", unit=units.USERS, min_width=60),
    ]
    panel_info = PanelInfo(
        title="Forecast of weekly users",
        description="The ends and the middle of the forecast beside, in distinct users of any template.",
        unit=units.USERS,
        no_value="Forecast after four weeks with users; or no data: see Data status at the top",
    )
    return custom_table_panel(
        panel_info,
        [table_query(text) for text in (weeks, ahead.low, ahead.expected, ahead.high)],
        columns,
        transformations=_by_week({f"Value #{column.source}": column.title for column in columns}),
        min_column_width=60,
    )
