"""Panels of active users, shared by dashboards of a template and of the deployment."""

from __future__ import annotations

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo, bar_chart_panel
from dashboards.generator.queries import Matchers, usage
from dashboards.generator.queries.usage import Buckets
from dashboards.generator.targets import table_query
from dashboards.generator.theme import ACCENT
from insights_exporter.metrics.family import Family

__all__ = ["active_users_panel"]


def active_users_panel(
    title: str, description: str, family: Family, buckets: Buckets, matchers: Matchers
) -> Panel:
    """Return active users per day or week as bars over a category axis, complete from the first poll on."""
    users = usage.active_users_by_ago(family, buckets, matchers)
    organize_options = {
        "excludeByName": {"Time": True, "ago": True},
        "indexByName": {"Value #B": 0, "Value #A": 1},
        "renameByName": {"Value #A": "Active users", "Value #B": "Start"},
    }
    convert_options = {"conversions": [{"targetField": "Start", "destinationType": "time"}], "fields": {}}
    return bar_chart_panel(
        PanelInfo(title=title, description=description, unit=units.USERS),
        [table_query(users), table_query(usage.bucket_start_times(users, buckets))],
        x_field="Start",
        color=ACCENT,
        overrides=[("Start", {"unit": "time:MMM D", "noValue": " "})],
        transformations=[
            ("merge", {}),
            # Before the conversion, because Grafana takes any other time field for "Time".
            ("organize", organize_options),
            ("convertFieldType", convert_options),
            ("sortBy", {"fields": {}, "sort": [{"field": "Start"}]}),
        ],
    )
