"""Stories of users, seats, apps, parameters and agents."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics import catalogue
from tests.alerts.cases.series import TEMPLATE, Case, Scene, Series, series

__all__ = ["CASES", "SCENES"]

_OF_TEMPLATE = "&var-organization=acme&var-template=go-dev"


def _template_day(values: str) -> Series:
    return series(catalogue.TEMPLATE_ACTIVE_USERS, values, interval="day", ago="1")


def _day(values: str, ago: str = "1") -> Series:
    return series(catalogue.DEPLOYMENT_ACTIVE_USERS, values, interval="day", ago=ago)


def _accounts(values: str) -> Series:
    return series(catalogue.USERS, values, status="active")


def _app(values: str, window: str, app: str = "jupyter") -> Series:
    return series(catalogue.TEMPLATE_APP_USAGE_WINDOW, values, window=window, app=app)


def _users_30d(values: str) -> Series:
    return series(catalogue.TEMPLATE_UNIQUE_USERS, values, window="30d")


def _option(values: str, value: str) -> Series:
    labels = {"parameter_name": "region", "parameter_type": "string", "parameter_value": value}
    return series(catalogue.TEMPLATE_PARAMETER_WORKSPACES, values, window="30d", **labels)


def _agents(values: str, status: str) -> Series:
    return series(catalogue.AGENTS, values, status=status)


def _in_use(values: str) -> Series:
    """Return by how many people the template is used today."""
    return series(catalogue.TEMPLATE_ACTIVE_USERS, values, interval="day", ago="0")


_JUPYTER: Final = {**TEMPLATE, "app": "jupyter", "app_type": "app"}
_EVERY_DAY: Final[Series] = (
    _app("90000x167 0x9 600x20", "today")
    | _app("100000x300", "yesterday")
    | _app("360000x300", "7d")
    | series(catalogue.TEMPLATE_USAGE_WINDOW, "720000x300", window="7d")
    | _in_use("12x300")
    | _day("50x300", "0")
    | _day("50x300")
)
"""An app that takes half of the time of twelve people, until nobody uses it after a week."""


CASES: Final = (
    Case(
        alert="TemplateActiveUsersDrop",
        fires=_template_day("20x167 8x11 18x20") | _day("100x200"),
        near=_day("100x167 45x40"),
        pending="170h",
        at="172h",
        over="181h",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "Yesterday template go-dev of acme had 12 users fewer than the same weekday a week before let"
            " expect, a loss of 50% or more that other templates do not share."
        ),
        step="1h",
    ),
    Case(
        alert="DeploymentActiveUsersDrop",
        fires=_day("100x167 45x11 90x20"),
        near=_day("8x167 4x40"),
        pending="170h",
        at="172h",
        over="181h",
        description=(
            "Yesterday Coder had 45% of the users of the same weekday a week before: a holiday, or something"
            " that kept people away."
        ),
        step="1h",
    ),
    Case(
        alert="SeatsAlmostUsed",
        fires=_accounts("46x24 40x9") | series(catalogue.LICENSE_USER_LIMIT, "50x60"),
        near=_accounts("45x60"),
        pending="55m",
        at="90m",
        over="130m",
        description=(
            "92% of the licence's seats are taken. Without a free seat, new colleagues cannot use Coder."
        ),
        step="5m",
    ),
    Case(
        alert="SeatsRunningOut",
        fires=_accounts("70+0.1x300") | series(catalogue.LICENSE_USER_LIMIT, "100x193 200x20"),
        near=_accounts("70+0.02x300"),
        pending="172h",
        at="192h",
        over="196h",
        description=(
            "If accounts keep growing as in the last two weeks, 123 of them will need a seat in 14 days, more"
            " than the licence grants."
        ),
        step="1h",
    ),
    Case(
        alert="AppUsageStopped",
        fires=_EVERY_DAY,
        near=_day("50x167 10x40", "0"),
        pending="168h",
        at="170h",
        over="179h",
        labels=_JUPYTER,
        variables=_OF_TEMPLATE,
        description=(
            "Nobody has used jupyter in template go-dev of acme today. Going by last week, about 6 people"
            " should have by now, and the rest of Coder is as busy as then."
        ),
        step="1h",
    ),
    Case(
        alert="AppsUnhealthy",
        fires=series(catalogue.APP_HEALTH, "4x25 0x9", health="unhealthy")
        | series(catalogue.APP_HEALTH, "6x60", health="healthy")
        | series(catalogue.APP_HEALTH, "90x60", health="disabled"),
        near=series(catalogue.APP_HEALTH, "2x30", health="unhealthy")
        | series(catalogue.APP_HEALTH, "1x30", health="healthy"),
        pending="14m",
        at="20m",
        over="27m",
        labels={**TEMPLATE, "app": "jupyter"},
        variables=_OF_TEMPLATE,
        description=(
            "The health check of jupyter fails in 40% of the running workspaces of template go-dev of acme."
        ),
    ),
    Case(
        alert="TemplateUnused",
        fires=_users_30d("0x90 1x9") | series(catalogue.TEMPLATE_CREATED, "-3000000x110"),
        near=series(catalogue.TEMPLATE_CREATED, "-2000000x110"),
        pending="355m",
        at="420m",
        over="460m",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "Template go-dev of acme exists for 35d 0h 20m 0s, and nobody used it in the last 30 days."
        ),
        step="5m",
    ),
    Case(
        alert="AppUnused",
        fires=_app("0x90 60x9", "30d", "vault")
        | _app("0x90 60x9", "30d", "grafana")
        | _app("900x110", "30d")
        | _users_30d("5x110"),
        near=_users_30d("4x110"),
        pending="355m",
        at="420m",
        over="460m",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "Of the apps that template go-dev of acme offers, 2 were used by nobody in the last 30 days."
        ),
        step="5m",
    ),
    Case(
        alert="SeatsIdle",
        fires=_accounts("50x110") | series(catalogue.DEPLOYMENT_UNIQUE_USERS, "40x90 48x9", window="30d"),
        near=series(catalogue.DEPLOYMENT_UNIQUE_USERS, "46x110", window="30d"),
        pending="355m",
        at="420m",
        over="460m",
        description=(
            "10 accounts take a seat of the licence and did not use a workspace in the last 30 days."
        ),
        step="5m",
    ),
    Case(
        alert="ParameterOptionsUnused",
        fires=_option("12x110", "eu") | _option("0x90 1x9", "us") | _option("0x90 1x9", "ap"),
        near=_option("9x110", "eu"),
        pending="355m",
        at="420m",
        over="460m",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "Template go-dev of acme offers 2 options of parameters that no workspace chose in the last 30"
            " days."
        ),
        step="5m",
    ),
    Case(
        alert="AgentsDisconnected",
        fires=_agents("2x25 0x9", "disconnected") | _agents("1x60", "timeout") | _agents("6x60", "connected"),
        near=_agents("1x60", "disconnected") | _agents("1x60", "connected"),
        pending="14m",
        at="20m",
        over="27m",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "33.33% of the agents in running workspaces of template go-dev of acme are not connected to"
            " Coder."
        ),
    ),
    Case(
        alert="AgentsOutdated",
        fires=series(catalogue.AGENTS_OUTDATED, "4x27 0x9") | _agents("8x60", "connected"),
        near=series(catalogue.AGENTS_OUTDATED, "2x40"),
        pending="23h",
        at="26h",
        over="29h",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "50% of the connected agents of template go-dev of acme run another version than the server,"
            " which may lack what it reports about apps."
        ),
        step="1h",
    ),
    Case(
        alert="UsageStalled",
        fires=_agents("5x60", "connected")
        | series(catalogue.TEMPLATE_USAGE, "9000x15 9000+60x20")
        | series(catalogue.SESSIONS, "3x60"),
        near=series(catalogue.TEMPLATE_USAGE, "9000+60x40"),
        pending="30m",
        at="60m",
        over="90m",
        description=(
            "5 agents are connected and people are at work, but no usage was recorded for an hour: Coder's"
            " rollup has stalled, or agents cannot deliver their reports."
        ),
        step="5m",
    ),
)

_SEEN: Final[Series] = {
    key: values
    for number in range(5)
    for key, values in series(catalogue.USER_LAST_SEEN, "0+300x40", username=f"user-{number}").items()
}
_WEEK: Final = "9000+900x671 612900x99"

SCENES: Final = (
    *(
        Scene(
            what=what, alert="AppUsageStopped", series=_EVERY_DAY | changed, at="170h", fires=fires, step="1h"
        )
        for what, changed, fires in (
            ("a Saturday without an app is no incident", _day("50x23 8x23 50x300"), ()),
            ("a short working day still is one", _day("50x23 30x23 50x300"), (_JUPYTER,)),
            ("one person who stays connected is not missed", _app("86400x300", "yesterday"), ()),
            ("neither are three people of a small team", _in_use("6x300"), ()),
            (
                "an app used on three of seven days is none of every day",
                _app("100000x95 0x300", "yesterday"),
                (),
            ),
            (
                "one idle day in a week is a holiday",
                _app("100000x71 0x23 100000x300", "yesterday"),
                (_JUPYTER,),
            ),
        )
    ),
    Scene(
        what="in the first week there is nothing to compare with",
        alert="TemplateActiveUsersDrop",
        series=_template_day("20x100 0x20") | _day("100x120"),
        at="115h",
        step="1h",
    ),
    Scene(
        what="four users fewer are within what leave explains",
        alert="TemplateActiveUsersDrop",
        series=_template_day("8x167 4x20") | _day("100x200"),
        at="175h",
        step="1h",
    ),
    Scene(
        what="an app that rested for three of the last five working days may rest today",
        alert="AppUsageStopped",
        series=_app("9000x167 0x20", "today") | _app("3600x47 0x143", "yesterday") | _day("50x300", "0"),
        at="172h",
        step="1h",
    ),
    Scene(
        what="a forecast needs more than a few days of history",
        alert="SeatsRunningOut",
        series=_accounts("70+0.1x300") | series(catalogue.LICENSE_USER_LIMIT, "72x300"),
        at="150h",
        step="1h",
    ),
    Scene(
        what="agents without sessions need not use anything",
        alert="UsageStalled",
        series=_agents("5x60", "connected")
        | series(catalogue.TEMPLATE_USAGE, "9000x60")
        | series(catalogue.SESSIONS, "0x60")
        | _SEEN,
        at="60m",
        step="5m",
    ),
    Scene(
        what="without agent statistics, people whom Coder has just seen stand for sessions",
        alert="UsageStalled",
        series=_agents("5x60", "connected") | series(catalogue.TEMPLATE_USAGE, "9000x60") | _SEEN,
        at="60m",
        fires=({},),
        step="5m",
    ),
    Scene(
        what="with names switched off, too, as many agents as a week ago stand for people",
        alert="UsageStalled",
        series=_agents("5x720", "connected") | series(catalogue.TEMPLATE_USAGE, _WEEK),
        at="10140m",
        step="15m",
    ),
    Scene(
        what="with names switched off, it fires once the week's usage is missed",
        alert="UsageStalled",
        series=_agents("5x720", "connected") | series(catalogue.TEMPLATE_USAGE, _WEEK),
        at="10200m",
        fires=({},),
        step="15m",
    ),
    Scene(
        what="with names switched off, a holiday with hardly an agent is quiet",
        alert="UsageStalled",
        series=_agents("20x671 3x99", "connected") | series(catalogue.TEMPLATE_USAGE, _WEEK),
        at="10200m",
        step="15m",
    ),
)
