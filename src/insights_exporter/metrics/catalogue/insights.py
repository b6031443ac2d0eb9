"""Families of the Insights collector: usage of templates, from Coder's Insights API."""

from __future__ import annotations

from functools import partial
from typing import Final

from insights_exporter.metrics.family import (
    APP_LABELS,
    SUM_OVER_TEMPLATES,
    SUM_OVER_USERS,
    TEMPLATE_LABELS,
    USER_LABELS,
    FamilyGroup,
    MetricType,
)

_group = FamilyGroup("insights")
_gauge = partial(_group.declare, MetricType.GAUGE)
_seconds_gauge = partial(_gauge, unit="seconds")
_seconds_counter = partial(_group.declare, MetricType.COUNTER, unit="seconds")

_ACTIVE_USERS_PANEL: Final = "Active users"
_APPS_PANEL: Final = "App & IDE Usage"
_ACTIVITY_PANEL: Final = "Activity by user"
_LATENCY_PANEL: Final = "Latency by user"
_PARAMETERS_PANEL: Final = "Parameters usage"
_SLOW_WINDOWS: Final = " Windows of 2 to 7 days are up to one hour old, longer windows up to four hours."

TEMPLATE_ACTIVE_USERS = _gauge(
    "template_active_users",
    "Distinct users of the template in one day or week; `ago` 0 is today or the seven days up to yesterday.",
    (*TEMPLATE_LABELS, "interval", "ago"),
    panel=_ACTIVE_USERS_PANEL,
)
DEPLOYMENT_ACTIVE_USERS = _gauge(
    "deployment_active_users",
    "Distinct users of any template in one day or week; `ago` 0 is today or the seven days up to yesterday.",
    ("interval", "ago"),
    panel=_ACTIVE_USERS_PANEL,
)
TODAY = _gauge(
    "today_timestamp_seconds",
    "Date of the day with `ago` 0: the Unix time of its midnight in UTC, whatever insights.utc_offset is.",
    unit="seconds",
    panel=_ACTIVE_USERS_PANEL,
)
TEMPLATE_UNIQUE_USERS = _gauge(
    "template_unique_users",
    "Distinct users of the template in the window.",
    (*TEMPLATE_LABELS, "window"),
    panel=_ACTIVE_USERS_PANEL,
)
DEPLOYMENT_UNIQUE_USERS = _gauge(
    "deployment_unique_users",
    "Distinct users of any template in the window.",
    ("window",),
    panel=_ACTIVE_USERS_PANEL,
)
TEMPLATE_APP_USAGE = _seconds_counter(
    "template_app_usage_seconds_total",
    "Seconds users spent in an app of the template since the anchor; concurrent apps count separately.",
    (*TEMPLATE_LABELS, *APP_LABELS),
    summable=SUM_OVER_TEMPLATES,
    panel=_APPS_PANEL,
)
TEMPLATE_APP_USAGE_WINDOW = _seconds_gauge(
    "template_app_usage_window_seconds",
    "Seconds users spent in an app of the template in the window; concurrent apps count separately.",
    (*TEMPLATE_LABELS, *APP_LABELS, "window"),
    summable=SUM_OVER_TEMPLATES,
    panel=_APPS_PANEL,
)
TEMPLATE_APP_OPENS = _gauge(
    "template_app_opens",
    f"Times users opened an app of the template in the window.{_SLOW_WINDOWS}",
    (*TEMPLATE_LABELS, *APP_LABELS, "window"),
    summable=SUM_OVER_TEMPLATES,
    panel=_APPS_PANEL,
)
DEPLOYMENT_APP_USAGE = _seconds_counter(
    "deployment_app_usage_seconds_total",
    "Seconds users spent in an app of any template since the anchor; a user's time in several templates at"
    " once counts once.",
    APP_LABELS,
    panel=_APPS_PANEL,
)
DEPLOYMENT_APP_USAGE_WINDOW = _seconds_gauge(
    "deployment_app_usage_window_seconds",
    "Seconds users spent in an app of any template in the window; a user's time in several templates at once"
    " counts once.",
    (*APP_LABELS, "window"),
    panel=_APPS_PANEL,
)
USER_ACTIVITY = _seconds_counter(
    "user_activity_seconds_total",
    "Seconds the user spent in the template since the anchor.",
    (*TEMPLATE_LABELS, *USER_LABELS),
    summable=SUM_OVER_USERS,
    panel=_ACTIVITY_PANEL,
)
USER_ACTIVITY_WINDOW = _seconds_gauge(
    "user_activity_window_seconds",
    "Seconds the user spent in the template in the window.",
    (*TEMPLATE_LABELS, *USER_LABELS, "window"),
    summable=SUM_OVER_USERS,
    panel=_ACTIVITY_PANEL,
)
TEMPLATE_USAGE = _seconds_counter(
    "template_usage_seconds_total",
    "Seconds users spent in the template since the anchor; concurrent apps count once.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
    panel=_ACTIVITY_PANEL,
)
TEMPLATE_USAGE_WINDOW = _seconds_gauge(
    "template_usage_window_seconds",
    "Seconds users spent in the template in the window; concurrent apps count once.",
    (*TEMPLATE_LABELS, "window"),
    summable=SUM_OVER_TEMPLATES,
    panel=_ACTIVITY_PANEL,
)
DEPLOYMENT_USER_ACTIVITY_WINDOW = _seconds_gauge(
    "deployment_user_activity_window_seconds",
    "Seconds the user spent in any template in the window; time in several templates at once counts once.",
    (*USER_LABELS, "window"),
    summable=frozenset(USER_LABELS),
    panel=_ACTIVITY_PANEL,
)
USER_LATENCY_P50 = _seconds_gauge(
    "user_latency_p50_seconds",
    "Median round-trip seconds of the user's connections in the window; absent without a measurement."
    f"{_SLOW_WINDOWS}",
    (*TEMPLATE_LABELS, *USER_LABELS, "window"),
    panel=_LATENCY_PANEL,
)
USER_LATENCY_P95 = _seconds_gauge(
    "user_latency_p95_seconds",
    "95th percentile of round-trip seconds of the user's connections in the window; absent without a"
    f" measurement.{_SLOW_WINDOWS}",
    (*TEMPLATE_LABELS, *USER_LABELS, "window"),
    panel=_LATENCY_PANEL,
)
TEMPLATE_USER_LATENCY = _group.declare(
    MetricType.GAUGE_HISTOGRAM,
    "template_user_latency_seconds",
    "Users of the template by connection latency in the window (gauge histogram; do not apply rate())."
    f"{_SLOW_WINDOWS}",
    (*TEMPLATE_LABELS, "statistic", "window"),
    unit="seconds",
    summable=SUM_OVER_TEMPLATES,
    panel=_LATENCY_PANEL,
)
TEMPLATE_USERS_WITHOUT_LATENCY = _gauge(
    "template_users_without_latency",
    f"Users of the template in the window without a latency measurement.{_SLOW_WINDOWS}",
    (*TEMPLATE_LABELS, "window"),
    panel=_LATENCY_PANEL,
)
TEMPLATE_PARAMETER_WORKSPACES = _gauge(
    "template_parameter_workspaces",
    "Workspaces of the template by parameter value in the window; 0 for declared options without workspaces."
    f"{_SLOW_WINDOWS}",
    (*TEMPLATE_LABELS, "parameter_name", "parameter_type", "parameter_value", "window"),
    summable=frozenset((*TEMPLATE_LABELS, "parameter_value")),
    panel=_PARAMETERS_PANEL,
)
TOTALS_PENDING = _gauge(
    "exporter_totals_pending",
    "Whether totals wait for a complete response: 1 while they wait, with the reason.",
    (*TEMPLATE_LABELS, "reason"),
)
WARM_UP_RATIO = _gauge(
    "exporter_warm_up_ratio",
    "Share of the needed data that was fetched since the start; 1 once it is complete.",
)
POSTPONED_REQUESTS = _gauge(
    "exporter_postponed_requests",
    "Requests that the last poll left for a later one: Coder's time or the poll's deadline was used up.",
)
WINDOW_UPDATED = _gauge(
    "exporter_window_updated_timestamp_seconds",
    "Unix time of the oldest data of any template in the window.",
    ("window",),
    unit="seconds",
)
COLLECTION_ENABLED = _gauge(
    "collection_enabled", "Whether Coder collects usage statistics: 1 if enabled, 0 if disabled."
)

INSIGHTS_FAMILIES: Final = _group.families
