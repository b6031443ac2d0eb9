"""Stories of users, seats, apps, parameters and agents."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics import catalogue
from tests.bundle.alerts.cases.series import TEMPLATE, FiringCase, Scenario, Series, series

__all__ = ["CASES", "SCENARIOS"]

_TEMPLATE_VARIABLES = "&var-organization=acme&var-template=go-dev"


def _template_users(values: str) -> Series:
    return series(catalogue.TEMPLATE_ACTIVE_USERS, values, interval="day", ago="1")


def _deployment_users(values: str, ago: str = "1") -> Series:
    return series(catalogue.DEPLOYMENT_ACTIVE_USERS, values, interval="day", ago=ago)


def _accounts(values: str) -> Series:
    return series(catalogue.USERS, values, status="active")


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
    """Return by how many people the template is used today."""
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
"""An app that takes half of the time of twelve people, until nobody uses it after a week."""


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
            "Yesterday template go-dev of acme had 12 users fewer than the same weekday a week before let"
            " expect, a loss of 50% or more that other templates do not share."
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
            "Yesterday Coder had 45% of the users of the same weekday a week before: a holiday, or something"
            " that kept people away."
        ),
        step="1h",
    ),
    FiringCase(
        alert="SeatsAlmostUsed",
        firing_series=_accounts("46x24 40x9") | series(catalogue.LICENSE_USER_LIMIT, "50x60"),
        near_miss_series=_accounts("45x60"),
        pending_at="55m",
        firing_at="90m",
        resolved_at="130m",
        description=(
            "92% of the licence's seats are taken. Without a free seat, new colleagues cannot use Coder."
        ),
        step="5m",
    ),
    FiringCase(
        alert="SeatsRunningOut",
        firing_series=_accounts("70+0.1x300") | series(catalogue.LICENSE_USER_LIMIT, "100x193 200x20"),
        near_miss_series=_accounts("70+0.02x300"),
        pending_at="172h",
        firing_at="192h",
        resolved_at="196h",
        description=(
            "If accounts keep growing as in the last two weeks, 123 of them will need a seat in 14 days, more"
            " than the licence grants."
        ),
        step="1h",
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
            "Nobody has used jupyter in template go-dev of acme today. Going by last week, about 6 people"
            " should have by now, and the rest of Coder is as busy as then."
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
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "The health check of jupyter fails in 40% of the running workspaces of template go-dev of acme."
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
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Template go-dev of acme exists for 35d 0h 20m 0s, and nobody used it in the last 30 days."
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
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Of the apps that template go-dev of acme offers, 2 were used by nobody in the last 30 days."
        ),
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
        description=(
            "10 accounts take a seat of the licence and did not use a workspace in the last 30 days."
        ),
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
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "Template go-dev of acme offers 2 options of parameters that no workspace chose in the last 30"
            " days."
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
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "33.33% of the agents in running workspaces of template go-dev of acme are not connected to"
            " Coder."
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
        url_variables=_TEMPLATE_VARIABLES,
        description=(
            "50% of the connected agents of template go-dev of acme run another version than the server,"
            " which may lack what it reports about apps."
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
            "5 agents are connected and people are at work, but no usage was recorded for an hour: Coder's"
            " rollup has stalled, or agents cannot deliver their reports."
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
            ("a Saturday without an app is no incident", _deployment_users("50x23 8x23 50x300"), ()),
            ("a short working day still is one", _deployment_users("50x23 30x23 50x300"), (_JUPYTER,)),
            ("one person who stays connected is not missed", _app_usage("86400x300", "yesterday"), ()),
            ("neither are three people of a small team", _template_users_today("6x300"), ()),
            (
                "an app used on three of seven days is none of every day",
                _app_usage("100000x95 0x300", "yesterday"),
                (),
            ),
            (
                "one idle day in a week is a holiday",
                _app_usage("100000x71 0x23 100000x300", "yesterday"),
                (_JUPYTER,),
            ),
        )
    ),
    Scenario(
        name="in the first week there is nothing to compare with",
        alert="TemplateActiveUsersDrop",
        series=_template_users("20x100 0x20") | _deployment_users("100x120"),
        eval_time="115h",
        step="1h",
    ),
    Scenario(
        name="four users fewer are within what leave explains",
        alert="TemplateActiveUsersDrop",
        series=_template_users("8x167 4x20") | _deployment_users("100x200"),
        eval_time="175h",
        step="1h",
    ),
    Scenario(
        name="an app that rested for three of the last five working days may rest today",
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
        series=_accounts("70+0.1x300") | series(catalogue.LICENSE_USER_LIMIT, "72x300"),
        eval_time="150h",
        step="1h",
    ),
    Scenario(
        name="agents without sessions need not use anything",
        alert="UsageStalled",
        series=_agents("5x60", "connected")
        | series(catalogue.TEMPLATE_USAGE, "9000x60")
        | series(catalogue.SESSIONS, "0x60")
        | _RECENTLY_SEEN,
        eval_time="60m",
        step="5m",
    ),
    Scenario(
        name="without agent statistics, people whom Coder has just seen stand for sessions",
        alert="UsageStalled",
        series=_agents("5x60", "connected") | series(catalogue.TEMPLATE_USAGE, "9000x60") | _RECENTLY_SEEN,
        eval_time="60m",
        firing_labels=({},),
        step="5m",
    ),
    Scenario(
        name="with names switched off, too, as many agents as a week ago stand for people",
        alert="UsageStalled",
        series=_agents("5x720", "connected") | series(catalogue.TEMPLATE_USAGE, _USAGE_FOR_A_WEEK),
        eval_time="10140m",
        step="15m",
    ),
    Scenario(
        name="with names switched off, it fires once the week's usage is missed",
        alert="UsageStalled",
        series=_agents("5x720", "connected") | series(catalogue.TEMPLATE_USAGE, _USAGE_FOR_A_WEEK),
        eval_time="10200m",
        firing_labels=({},),
        step="15m",
    ),
    Scenario(
        name="with names switched off, a holiday with hardly an agent is quiet",
        alert="UsageStalled",
        series=_agents("20x671 3x99", "connected") | series(catalogue.TEMPLATE_USAGE, _USAGE_FOR_A_WEEK),
        eval_time="10200m",
        step="15m",
    ),
)
