"""How templates are used: what Coder's Insights API tells."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.catalogue.labels import (
    ANY_TEMPLATE,
    ANY_USER,
    APP,
    TEMPLATE,
    USER,
)
from insights_exporter.metrics.family import PREFIX, Family, Kind

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
_ACTIVE_USERS, _APPS, _ACTIVITY, _LATENCY, _PARAMETERS = (
    "Active users",
    "App & IDE Usage",
    "Activity by user",
    "Latency by user",
    "Parameters usage",
)


def _gauge(  # noqa: PLR0913 - a family has that many columns.
    name: str,
    text: str,
    labels: tuple[str, ...],
    panel: str = "",
    *,
    unit: str = "",
    summable: frozenset[str] = frozenset(),
) -> Family:
    return Family(PREFIX + name, Kind.GAUGE, text, labels, unit, summable, panel, _COLLECTOR)


def _counter(name: str, text: str, labels: tuple[str, ...], panel: str, summable: frozenset[str]) -> Family:
    return Family(PREFIX + name, Kind.COUNTER, text, labels, "seconds", summable, panel, _COLLECTOR)


TEMPLATE_ACTIVE_USERS = _gauge(
    "template_active_users",
    "Distinct users of a template in a day or week; ago counts back, days from today, weeks from yesterday.",
    (*TEMPLATE, "interval", "ago"),
    _ACTIVE_USERS,
)
DEPLOYMENT_ACTIVE_USERS = _gauge(
    "deployment_active_users",
    "Distinct users of any template in one day or week; each user counts once.",
    ("interval", "ago"),
    _ACTIVE_USERS,
)
TEMPLATE_UNIQUE_USERS = _gauge(
    "template_unique_users",
    "Distinct users of a template in the window.",
    (*TEMPLATE, "window"),
    _ACTIVE_USERS,
)
DEPLOYMENT_UNIQUE_USERS = _gauge(
    "deployment_unique_users", "Distinct users of any template in the window.", ("window",), _ACTIVE_USERS
)
TEMPLATE_APP_USAGE = _counter(
    "template_app_usage_seconds_total",
    "Time that users spent in an app of a template since the anchor; apps overlap.",
    (*TEMPLATE, *APP),
    _APPS,
    ANY_TEMPLATE,
)
TEMPLATE_APP_USAGE_WINDOW = _gauge(
    "template_app_usage_window_seconds",
    "Time that users spent in an app of a template in the window; apps overlap.",
    (*TEMPLATE, *APP, "window"),
    _APPS,
    unit="seconds",
    summable=ANY_TEMPLATE,
)
TEMPLATE_APP_OPENS = _gauge(
    "template_app_opens",
    "How often users opened an app of a template in the window; windows do not add up.",
    (*TEMPLATE, *APP, "window"),
    _APPS,
    summable=ANY_TEMPLATE,
)
DEPLOYMENT_APP_USAGE = _counter(
    "deployment_app_usage_seconds_total",
    "Time that users spent in an app since the anchor, capped by Coder at each user's half hours.",
    APP,
    _APPS,
    frozenset(),
)
DEPLOYMENT_APP_USAGE_WINDOW = _gauge(
    "deployment_app_usage_window_seconds",
    "Time that users spent in an app in the window, capped by Coder at each user's half hours.",
    (*APP, "window"),
    _APPS,
    unit="seconds",
)
USER_ACTIVITY = _counter(
    "user_activity_seconds_total",
    "Time that a user spent in a template since the anchor.",
    (*TEMPLATE, *USER),
    _ACTIVITY,
    ANY_USER,
)
USER_ACTIVITY_WINDOW = _gauge(
    "user_activity_window_seconds",
    "Time that a user spent in a template in the window.",
    (*TEMPLATE, *USER, "window"),
    _ACTIVITY,
    unit="seconds",
    summable=ANY_USER,
)
TEMPLATE_USAGE = _counter(
    "template_usage_seconds_total",
    "Time that all users spent in a template since the anchor; less than the sum of its apps, which overlap.",
    TEMPLATE,
    _ACTIVITY,
    ANY_TEMPLATE,
)
TEMPLATE_USAGE_WINDOW = _gauge(
    "template_usage_window_seconds",
    "Time that all users spent in a template in the window.",
    (*TEMPLATE, "window"),
    _ACTIVITY,
    unit="seconds",
    summable=ANY_TEMPLATE,
)
DEPLOYMENT_USER_ACTIVITY_WINDOW = _gauge(
    "deployment_user_activity_window_seconds",
    "Time that a user spent in any template in the window, each half hour counted once.",
    (*USER, "window"),
    _ACTIVITY,
    unit="seconds",
    summable=frozenset(USER),
)
USER_LATENCY_P50 = _gauge(
    "user_latency_p50_seconds",
    "Median round trip of a user's connections in the window; absent without a measurement.",
    (*TEMPLATE, *USER, "window"),
    _LATENCY,
    unit="seconds",
)
USER_LATENCY_P95 = _gauge(
    "user_latency_p95_seconds",
    "95th percentile of the round trip of a user's connections in the window; absent without a measurement.",
    (*TEMPLATE, *USER, "window"),
    _LATENCY,
    unit="seconds",
)
TEMPLATE_USER_LATENCY = Family(
    PREFIX + "template_user_latency_seconds",
    Kind.GAUGE_HISTOGRAM,
    "How many users of a template have a round trip up to a bound in the window; a rate of it means nothing.",
    (*TEMPLATE, "statistic", "window"),
    "seconds",
    ANY_TEMPLATE,
    _LATENCY,
    _COLLECTOR,
)
TEMPLATE_USERS_WITHOUT_LATENCY = _gauge(
    "template_users_without_latency",
    "Users of a template in the window whose round trip was never measured.",
    (*TEMPLATE, "window"),
    _LATENCY,
)
TEMPLATE_PARAMETER_WORKSPACES = _gauge(
    "template_parameter_workspaces",
    "Workspaces of a template per chosen value of a parameter in the window; declared options start at 0.",
    (*TEMPLATE, "parameter_name", "parameter_type", "parameter_value", "window"),
    _PARAMETERS,
    summable=frozenset((*TEMPLATE, "parameter_value")),
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
