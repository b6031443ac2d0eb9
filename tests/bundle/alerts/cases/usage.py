"""Cases of alerts on users, seats, apps, parameters and agents."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics import catalogue
from tests.bundle.alerts.cases.series import TEMPLATE, FiringCase, Scenario, Series, series

__all__ = ["CASES", "SCENARIOS"]

_TEMPLATE_VARIABLES = "&var-organization=acme&var-template=go-dev"
_TEMPLATES_VARIABLES = "&var-organizations=acme&var-templates=go-dev"


def _template_users(values: str) -> Series:
    return series(catalogue.TEMPLATE_ACTIVE_USERS, values, interval="day", ago="1")


def _deployment_users(values: str, ago: str = "1") -> Series:
    return series(catalogue.DEPLOYMENT_ACTIVE_USERS, values, interval="day", ago=ago)


def _accounts(values: str) -> Series:
    return series(catalogue.USERS, values, status="active")


def _taken_seats(values: str) -> Series:
    return series(catalogue.LICENSE_FEATURE_USED, values, feature="user_limit")


def _seats(values: str) -> Series:
    return series(catalogue.LICENSE_FEATURE_LIMIT, values, feature="user_limit")


def _app_usage(values: str, window: str, app: str = "jupyter") -> Series:
    return series(catalogue.TEMPLATE_APP_USAGE_WINDOW, values, window=window, app=app)


def _users_30d(values: str) -> Series:
    return series(catalogue.TEMPLATE_UNIQUE_USERS, values, window="30d")


def _option_workspaces(values: str, value: str) -> Series:
    labels = {"parameter_name": "region", "parameter_type": "string", "parameter_value": value}
    return series(catalogue.TEMPLATE_PARAMETER_WORKSPACES, values, window="30d", **labels)


def _agents(values: str, status: str) -> Series:
    return series(catalogue.AGENTS, values, status=status)


def _template_users_today(values: str) -> Series:
    """Return the users of the template today."""
    return series(catalogue.TEMPLATE_ACTIVE_USERS, values, interval="day", ago="0")


_JUPYTER: Final = {**TEMPLATE, "app": "jupyter", "app_type": "app"}
_USED_EVERY_DAY: Final[Series] = (
    _app_usage("90000x167 0x9 600x20", "today")
    | _app_usage("100000x300", "yesterday")
    | _app_usage("360000x300", "7d")
    | series(catalogue.TEMPLATE_USAGE_WINDOW, "720000x300", window="7d")
    | _template_users_today("12x300")
    | _deployment_users("50x300", "0")
    | _deployment_users("50x300")
)
"""An app with half of the time of twelve users, without use after a week."""


def _meter(feature: str, used: str, *, limit: str = "") -> Series:
    meter = series(catalogue.LICENSE_FEATURE_USED, used, feature=feature)
    return meter | series(catalogue.LICENSE_FEATURE_LIMIT, limit, feature=feature) if limit else meter


_VSCODE: Final = {**TEMPLATE, "app": "vscode", "app_type": "builtin"}
_VSCODE_ENDS: Final[Series] = {
    name.replace('app="jupyter", app_type="app"', 'app="vscode", app_type="builtin"'): values
    for name, values in _USED_EVERY_DAY.items()
}
_CURSOR_TODAY: Final[Series] = series(
    catalogue.TEMPLATE_APP_USAGE_WINDOW, "_x167 90000x20", window="today", app="cursor", app_type="builtin"
)
"""From the upgrade on, a client program is counted by itself."""


def _family(app: str, family: str, app_type: str = "builtin") -> Series:
    return series(
        catalogue.APP_INFO, "1x300", app=app, app_type=app_type, family=family, display_name="", icon=""
    )


CASES: Final = (
    FiringCase(
        alert="TemplateActiveUsersDrop",
        firing_series=_template_users("20x167 8x11 18x20") | _deployment_users("100x200"),
        near_miss_series=_deployment_users("100x167 45x40"),
        pending_at="170h",
        firing_at="172h",
        resolved_at="181h",
        labels=TEMPLATE,
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Template go-dev of acme: 12 users fewer than on the same weekday last week, at least 50%."
            " The trend of the whole deployment is deducted."
        ),
        step="1h",
    ),
    FiringCase(
        alert="DeploymentActiveUsersDrop",
        firing_series=_deployment_users("100x167 45x11 90x20"),
        near_miss_series=_deployment_users("8x167 4x40"),
        pending_at="170h",
        firing_at="172h",
        resolved_at="181h",
        description=(
            "Yesterday Coder had 45% of the users of the same weekday last week. Likely causes: a"
            " holiday or an outage."
        ),
        step="1h",
    ),
    FiringCase(
        alert="SeatsAlmostUsed",
        # Service accounts are active and take no seat.
        firing_series=_taken_seats("46x24 40x9") | _accounts("60x60") | _seats("50x60"),
        near_miss_series=_taken_seats("45x60"),
        pending_at="55m",
        firing_at="90m",
        resolved_at="130m",
        description="92% of the licensed seats are taken. Without a free seat, new users cannot use Coder.",
        step="5m",
    ),
    FiringCase(
        alert="SeatsRunningOut",
        firing_series=_taken_seats("70+0.1x300") | _seats("100x193 200x20"),
        near_miss_series=_taken_seats("70+0.02x300"),
        pending_at="172h",
        firing_at="192h",
        resolved_at="196h",
        description=(
            "At the growth of the last two weeks, 123 seats are needed in 14 days, more than the license has."
        ),
        step="1h",
    ),
    FiringCase(
        alert="LicenseAlmostUsed",
        firing_series=series(catalogue.LICENSE_FEATURE_USED, "95x24 40x9", feature="managed_agent_limit")
        | series(catalogue.LICENSE_FEATURE_LIMIT, "100x60", feature="managed_agent_limit")
        | _taken_seats("100x60")
        | _seats("100x60"),
        near_miss_series=series(catalogue.LICENSE_FEATURE_USED, "90x60", feature="managed_agent_limit"),
        pending_at="55m",
        firing_at="90m",
        resolved_at="130m",
        labels={"feature": "managed_agent_limit"},
        description="Feature managed_agent_limit uses 95% of its licensed limit.",
        step="5m",
    ),
    FiringCase(
        alert="AppUsageStopped",
        firing_series=_USED_EVERY_DAY,
        near_miss_series=_deployment_users("50x167 10x40", "0"),
        pending_at="168h",
        firing_at="170h",
        resolved_at="179h",
        labels=_JUPYTER,
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Template go-dev of acme: jupyter had no use today. About 6 users are expected by now, and"
            " the rest of Coder is as busy as last week."
        ),
        step="1h",
    ),
    FiringCase(
        alert="AppsUnhealthy",
        firing_series=series(catalogue.APP_HEALTH, "4x25 0x9", health="unhealthy")
        | series(catalogue.APP_HEALTH, "6x60", health="healthy")
        | series(catalogue.APP_HEALTH, "90x60", health="disabled"),
        near_miss_series=series(catalogue.APP_HEALTH, "2x30", health="unhealthy")
        | series(catalogue.APP_HEALTH, "1x30", health="healthy"),
        pending_at="14m",
        firing_at="20m",
        resolved_at="27m",
        labels={**TEMPLATE, "app": "jupyter"},
        url_variables=_TEMPLATES_VARIABLES,
        description=(
            "Template go-dev of acme: the health check of jupyter fails in 40% of the running workspaces."
        ),
    ),
    FiringCase(
        alert="TemplateUnused",
        firing_series=_users_30d("0x90 1x9") | series(catalogue.TEMPLATE_CREATED, "-3000000x110"),
        near_miss_series=series(catalogue.TEMPLATE_CREATED, "-2000000x110"),
        pending_at="355m",
        firing_at="420m",
        resolved_at="460m",
        labels=TEMPLATE,
        url_variables=_TEMPLATES_VARIABLES,
        description=(
            "Template go-dev of acme was created 35d 0h 20m 0s ago and had no users in the last 30 days."
        ),
        step="5m",
    ),
    FiringCase(
        alert="AppUnused",
        firing_series=_app_usage("0x90 60x9", "30d", "vault")
        | _app_usage("0x90 60x9", "30d", "grafana")
        | _app_usage("900x110", "30d")
        | _users_30d("5x110"),
        near_miss_series=_users_30d("4x110"),
        pending_at="355m",
        firing_at="420m",
        resolved_at="460m",
        labels=TEMPLATE,
        url_variables=_TEMPLATES_VARIABLES,
        description="Template go-dev of acme: 2 of its apps had no use in the last 30 days.",
        step="5m",
    ),
    FiringCase(
        alert="SeatsIdle",
        firing_series=_accounts("50x110")
        | series(catalogue.DEPLOYMENT_UNIQUE_USERS, "40x90 48x9", window="30d"),
        near_miss_series=series(catalogue.DEPLOYMENT_UNIQUE_USERS, "46x110", window="30d"),
        pending_at="355m",
        firing_at="420m",
        resolved_at="460m",
        description="10 seats are taken by accounts without use in the last 30 days.",
        step="5m",
    ),
    FiringCase(
        alert="ParameterOptionsUnused",
        firing_series=_option_workspaces("12x110", "eu")
        | _option_workspaces("0x90 1x9", "us")
        | _option_workspaces("0x90 1x9", "ap"),
        near_miss_series=_option_workspaces("9x110", "eu"),
        pending_at="355m",
        firing_at="420m",
        resolved_at="460m",
        labels=TEMPLATE,
        url_variables=_TEMPLATES_VARIABLES,
        description=(
            "Template go-dev of acme: no workspace of the last 30 days uses 2 of its parameter options."
        ),
        step="5m",
    ),
    FiringCase(
        alert="AgentsDisconnected",
        firing_series=_agents("2x25 0x9", "disconnected")
        | _agents("1x60", "timeout")
        | _agents("6x60", "connected"),
        near_miss_series=_agents("1x60", "disconnected") | _agents("1x60", "connected"),
        pending_at="14m",
        firing_at="20m",
        resolved_at="27m",
        labels=TEMPLATE,
        url_variables=_TEMPLATES_VARIABLES,
        description=(
            "Template go-dev of acme: 33.33% of the agents in running workspaces are not connected to Coder."
        ),
    ),
    FiringCase(
        alert="AgentsOutdated",
        firing_series=series(catalogue.AGENTS_OUTDATED, "4x27 0x9") | _agents("8x60", "connected"),
        near_miss_series=series(catalogue.AGENTS_OUTDATED, "2x40"),
        pending_at="23h",
        firing_at="26h",
        resolved_at="29h",
        labels=TEMPLATE,
        url_variables=_TEMPLATES_VARIABLES,
        description=(
            "Template go-dev of acme: 50% of the connected agents differ from the server's version."
            " Their reports on apps may be incomplete."
        ),
        step="1h",
    ),
    FiringCase(
        alert="UsageStalled",
        firing_series=_agents("5x60", "connected")
        | series(catalogue.TEMPLATE_USAGE, "9000x15 9000+60x20")
        | series(catalogue.SESSIONS, "3x60"),
        near_miss_series=series(catalogue.TEMPLATE_USAGE, "9000+60x40"),
        pending_at="30m",
        firing_at="60m",
        resolved_at="90m",
        description=(
            "5 agents are connected and users are active, but usage has not grown for an hour. Coder's"
            " rollup has stalled, or agents cannot send their reports."
        ),
        step="5m",
    ),
)

_RECENTLY_SEEN: Final[Series] = {
    key: values
    for number in range(5)
    for key, values in series(catalogue.USER_LAST_SEEN, "0+300x40", username=f"user-{number}").items()
}
_USAGE_FOR_A_WEEK: Final = "9000+900x671 612900x99"

SCENARIOS: Final = (
    Scenario(
        name="without a license count, every active account takes a seat",
        alert="SeatsAlmostUsed",
        series=_accounts("46x30") | _seats("50x30"),
        eval_time="90m",
        firing_labels=({},),
        step="5m",
    ),
    Scenario(
        name="an unlimited license has no limit to reach",
        alert="SeatsAlmostUsed",
        series=_taken_seats("4600x30"),
        eval_time="90m",
        step="5m",
    ),
    *(
        Scenario(
            name=what,
            alert="AppUsageStopped",
            series=_USED_EVERY_DAY | changed,
            eval_time="170h",
            firing_labels=fires,
            step="1h",
        )
        for what, changed, fires in (
            ("a Saturday without use is no incident", _deployment_users("50x23 8x23 50x300"), ()),
            ("a short working day is a working day", _deployment_users("50x23 30x23 50x300"), (_JUPYTER,)),
            ("one user who stays connected is too few", _app_usage("86400x300", "yesterday"), ()),
            ("three users of a small team are too few", _template_users_today("6x300"), ()),
            (
                "an app with use on three of seven days has no daily use",
                _app_usage("100000x95 0x300", "yesterday"),
                (),
            ),
            (
                "one day without use within a week is a holiday",
                _app_usage("100000x71 0x23 100000x300", "yesterday"),
                (_JUPYTER,),
            ),
        )
    ),
    Scenario(
        name="in the first week there is no comparison",
        alert="TemplateActiveUsersDrop",
        series=_template_users("20x100 0x20") | _deployment_users("100x120"),
        eval_time="115h",
        step="1h",
    ),
    Scenario(
        name="four users fewer can be on leave",
        alert="TemplateActiveUsersDrop",
        series=_template_users("8x167 4x20") | _deployment_users("100x200"),
        eval_time="175h",
        step="1h",
    ),
    *(
        Scenario(
            name=name,
            alert="AppUsageStopped",
            series=_VSCODE_ENDS | cursor_today | _family("vscode", "vscode") | _family("cursor", family),
            eval_time="170h",
            firing_labels=fires,
            step="1h",
        )
        for name, cursor_today, family, fires in (
            ("an upgrade that splits an app into client programs stops none", _CURSOR_TODAY, "vscode", ()),
            ("a program of another family does not replace the app", _CURSOR_TODAY, "ssh", (_VSCODE,)),
            ("a family without any use today has stopped", {}, "vscode", (_VSCODE,)),
        )
    ),
    Scenario(
        name="every meter of the licence with a limit counts, and none without",
        alert="LicenseAlmostUsed",
        series=_meter("ai_governance_user_limit", "10x100", limit="10x100")
        | _meter("agent_runtime_hours", "990x100", limit="1000x100")
        | _meter("managed_agent_limit", "5000x100"),
        eval_time="90m",
        firing_labels=({"feature": "ai_governance_user_limit"}, {"feature": "agent_runtime_hours"}),
    ),
    Scenario(
        name="a custom app of the template does not replace another one",
        alert="AppUsageStopped",
        series=_USED_EVERY_DAY
        | _app_usage("90000x300", "today", "code-server")
        | _family("jupyter", "workspace_app", "app")
        | _family("code-server", "workspace_app", "app"),
        eval_time="170h",
        firing_labels=(_JUPYTER,),
        step="1h",
    ),
    Scenario(
        name="an app without use on three of five working days has no daily use",
        alert="AppUsageStopped",
        series=_app_usage("9000x167 0x20", "today")
        | _app_usage("3600x47 0x143", "yesterday")
        | _deployment_users("50x300", "0"),
        eval_time="172h",
        step="1h",
    ),
    Scenario(
        name="a forecast needs more than a few days of history",
        alert="SeatsRunningOut",
        series=_accounts("70+0.1x300") | _seats("72x300"),
        eval_time="150h",
        step="1h",
    ),
    Scenario(
        name="connected agents without sessions cause no usage",
        alert="UsageStalled",
        series=_agents("5x60", "connected")
        | series(catalogue.TEMPLATE_USAGE, "9000x60")
        | series(catalogue.SESSIONS, "0x60")
        | _RECENTLY_SEEN,
        eval_time="60m",
        step="5m",
    ),
    Scenario(
        name="without agent statistics, recently seen users imply sessions",
        alert="UsageStalled",
        series=_agents("5x60", "connected") | series(catalogue.TEMPLATE_USAGE, "9000x60") | _RECENTLY_SEEN,
        eval_time="60m",
        firing_labels=({},),
        step="5m",
    ),
    Scenario(
        name="without user names, usage a week ago and as many agents imply users",
        alert="UsageStalled",
        series=_agents("5x720", "connected") | series(catalogue.TEMPLATE_USAGE, _USAGE_FOR_A_WEEK),
        eval_time="10140m",
        step="15m",
    ),
    Scenario(
        name="without user names, it fires after the hour in which usage is missing",
        alert="UsageStalled",
        series=_agents("5x720", "connected") | series(catalogue.TEMPLATE_USAGE, _USAGE_FOR_A_WEEK),
        eval_time="10200m",
        firing_labels=({},),
        step="15m",
    ),
    Scenario(
        name="without user names, a holiday with few agents is silent",
        alert="UsageStalled",
        series=_agents("20x671 3x99", "connected") | series(catalogue.TEMPLATE_USAGE, _USAGE_FOR_A_WEEK),
        eval_time="10200m",
        step="15m",
    ),
)
