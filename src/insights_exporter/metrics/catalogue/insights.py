"""How templates are used: what Coder's Insights API tells."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.catalogue.labels import (
    APP_LABELS,
    SUM_OVER_TEMPLATES,
    SUM_OVER_USERS,
    TEMPLATE_LABELS,
    USER_LABELS,
)
from insights_exporter.metrics.family import PREFIX, Family, MetricType

__all__ = [
    "COLLECTION_ENABLED",
    "DEPLOYMENT_ACTIVE_USERS",
    "DEPLOYMENT_APP_USAGE",
    "DEPLOYMENT_APP_USAGE_WINDOW",
    "DEPLOYMENT_UNIQUE_USERS",
    "DEPLOYMENT_USER_ACTIVITY_WINDOW",
    "FAMILIES",
    "TEMPLATE_ACTIVE_USERS",
    "TEMPLATE_APP_OPENS",
    "TEMPLATE_APP_USAGE",
    "TEMPLATE_APP_USAGE_WINDOW",
    "TEMPLATE_PARAMETER_WORKSPACES",
    "TEMPLATE_UNIQUE_USERS",
    "TEMPLATE_USAGE",
    "TEMPLATE_USAGE_WINDOW",
    "TEMPLATE_USERS_WITHOUT_LATENCY",
    "TEMPLATE_USER_LATENCY",
    "USER_ACTIVITY",
    "USER_ACTIVITY_WINDOW",
    "USER_LATENCY_P50",
    "USER_LATENCY_P95",
]

_COLLECTOR = "insights"
_ACTIVE_USERS_PANEL, _APPS_PANEL, _ACTIVITY_PANEL, _LATENCY_PANEL, _PARAMETERS_PANEL = (
    "Active users",
    "App & IDE Usage",
    "Activity by user",
    "Latency by user",
    "Parameters usage",
)


def _gauge(
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    panel: str = "",
    *,
    unit: str = "",
    summable: frozenset[str] = frozenset(),
) -> Family:
    return Family(PREFIX + name, MetricType.GAUGE, help_text, labels, unit, summable, panel, _COLLECTOR)


def _counter(
    name: str, help_text: str, labels: tuple[str, ...], panel: str, summable: frozenset[str]
) -> Family:
    return Family(
        PREFIX + name, MetricType.COUNTER, help_text, labels, "seconds", summable, panel, _COLLECTOR
    )


TEMPLATE_ACTIVE_USERS = _gauge(
    "template_active_users",
    "Distinct users of a template in a day or week; ago counts back, days from today, weeks from yesterday.",
    (*TEMPLATE_LABELS, "interval", "ago"),
    _ACTIVE_USERS_PANEL,
)
DEPLOYMENT_ACTIVE_USERS = _gauge(
    "deployment_active_users",
    "Distinct users of any template in one day or week; each user counts once.",
    ("interval", "ago"),
    _ACTIVE_USERS_PANEL,
)
TEMPLATE_UNIQUE_USERS = _gauge(
    "template_unique_users",
    "Distinct users of a template in the window.",
    (*TEMPLATE_LABELS, "window"),
    _ACTIVE_USERS_PANEL,
)
DEPLOYMENT_UNIQUE_USERS = _gauge(
    "deployment_unique_users",
    "Distinct users of any template in the window.",
    ("window",),
    _ACTIVE_USERS_PANEL,
)
TEMPLATE_APP_USAGE = _counter(
    "template_app_usage_seconds_total",
    "Time that users spent in an app of a template since the anchor; apps overlap.",
    (*TEMPLATE_LABELS, *APP_LABELS),
    _APPS_PANEL,
    SUM_OVER_TEMPLATES,
)
TEMPLATE_APP_USAGE_WINDOW = _gauge(
    "template_app_usage_window_seconds",
    "Time that users spent in an app of a template in the window; apps overlap.",
    (*TEMPLATE_LABELS, *APP_LABELS, "window"),
    _APPS_PANEL,
    unit="seconds",
    summable=SUM_OVER_TEMPLATES,
)
TEMPLATE_APP_OPENS = _gauge(
    "template_app_opens",
    "How often users opened an app of a template in the window; windows do not add up.",
    (*TEMPLATE_LABELS, *APP_LABELS, "window"),
    _APPS_PANEL,
    summable=SUM_OVER_TEMPLATES,
)
DEPLOYMENT_APP_USAGE = _counter(
    "deployment_app_usage_seconds_total",
    "Time that users spent in an app since the anchor, capped by Coder at each user's half hours.",
    APP_LABELS,
    _APPS_PANEL,
    frozenset(),
)
DEPLOYMENT_APP_USAGE_WINDOW = _gauge(
    "deployment_app_usage_window_seconds",
    "Time that users spent in an app in the window, capped by Coder at each user's half hours.",
    (*APP_LABELS, "window"),
    _APPS_PANEL,
    unit="seconds",
)
USER_ACTIVITY = _counter(
    "user_activity_seconds_total",
    "Time that a user spent in a template since the anchor.",
    (*TEMPLATE_LABELS, *USER_LABELS),
    _ACTIVITY_PANEL,
    SUM_OVER_USERS,
)
USER_ACTIVITY_WINDOW = _gauge(
    "user_activity_window_seconds",
    "Time that a user spent in a template in the window.",
    (*TEMPLATE_LABELS, *USER_LABELS, "window"),
    _ACTIVITY_PANEL,
    unit="seconds",
    summable=SUM_OVER_USERS,
)
TEMPLATE_USAGE = _counter(
    "template_usage_seconds_total",
    "Time that all users spent in a template since the anchor; less than the sum of its apps, which overlap.",
    TEMPLATE_LABELS,
    _ACTIVITY_PANEL,
    SUM_OVER_TEMPLATES,
)
TEMPLATE_USAGE_WINDOW = _gauge(
    "template_usage_window_seconds",
    "Time that all users spent in a template in the window.",
    (*TEMPLATE_LABELS, "window"),
    _ACTIVITY_PANEL,
    unit="seconds",
    summable=SUM_OVER_TEMPLATES,
)
DEPLOYMENT_USER_ACTIVITY_WINDOW = _gauge(
    "deployment_user_activity_window_seconds",
    "Time that a user spent in any template in the window, each half hour counted once.",
    (*USER_LABELS, "window"),
    _ACTIVITY_PANEL,
    unit="seconds",
    summable=frozenset(USER_LABELS),
)
USER_LATENCY_P50 = _gauge(
    "user_latency_p50_seconds",
    "Median round trip of a user's connections in the window; absent without a measurement.",
    (*TEMPLATE_LABELS, *USER_LABELS, "window"),
    _LATENCY_PANEL,
    unit="seconds",
)
USER_LATENCY_P95 = _gauge(
    "user_latency_p95_seconds",
    "95th percentile of the round trip of a user's connections in the window; absent without a measurement.",
    (*TEMPLATE_LABELS, *USER_LABELS, "window"),
    _LATENCY_PANEL,
    unit="seconds",
)
TEMPLATE_USER_LATENCY = Family(
    PREFIX + "template_user_latency_seconds",
    MetricType.GAUGE_HISTOGRAM,
    "How many users of a template have a round trip up to a bound in the window; a rate of it means nothing.",
    (*TEMPLATE_LABELS, "statistic", "window"),
    "seconds",
    SUM_OVER_TEMPLATES,
    _LATENCY_PANEL,
    _COLLECTOR,
)
TEMPLATE_USERS_WITHOUT_LATENCY = _gauge(
    "template_users_without_latency",
    "Users of a template in the window whose round trip was never measured.",
    (*TEMPLATE_LABELS, "window"),
    _LATENCY_PANEL,
)
TEMPLATE_PARAMETER_WORKSPACES = _gauge(
    "template_parameter_workspaces",
    "Workspaces of a template per chosen value of a parameter in the window; declared options start at 0.",
    (*TEMPLATE_LABELS, "parameter_name", "parameter_type", "parameter_value", "window"),
    _PARAMETERS_PANEL,
    summable=frozenset((*TEMPLATE_LABELS, "parameter_value")),
)
COLLECTION_ENABLED = _gauge(
    "collection_enabled", "1 while Coder collects usage statistics, 0 while that is switched off.", ()
)

FAMILIES: Final = (
    TEMPLATE_ACTIVE_USERS,
    DEPLOYMENT_ACTIVE_USERS,
    TEMPLATE_UNIQUE_USERS,
    DEPLOYMENT_UNIQUE_USERS,
    TEMPLATE_APP_USAGE,
    TEMPLATE_APP_USAGE_WINDOW,
    TEMPLATE_APP_OPENS,
    DEPLOYMENT_APP_USAGE,
    DEPLOYMENT_APP_USAGE_WINDOW,
    USER_ACTIVITY,
    USER_ACTIVITY_WINDOW,
    TEMPLATE_USAGE,
    TEMPLATE_USAGE_WINDOW,
    DEPLOYMENT_USER_ACTIVITY_WINDOW,
    USER_LATENCY_P50,
    USER_LATENCY_P95,
    TEMPLATE_USER_LATENCY,
    TEMPLATE_USERS_WITHOUT_LATENCY,
    TEMPLATE_PARAMETER_WORKSPACES,
    COLLECTION_ENABLED,
)
"""All of them, in the order in which they are served."""
