"""Stories of slow connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from tests.alerts.cases.series import TEMPLATE, Case, Scene, Series, bucketed, observed, series

__all__ = ["CASES", "SCENES"]

_OF_TEMPLATE = "&var-organization=acme&var-template=go-dev"
_FAST, _YELLOW, _RED = 0.04, 0.18, 0.4


def _users(slow: int, others: int, value: float, *, until: int = 60, steps: int = 120) -> Series:
    """Return reports of so many slow users, who become fast, and of others, who always were."""
    found: Series = {}
    for number in range(slow):
        course = ((until, value), (steps - until, _FAST))
        found |= observed(catalogue.CONNECTION_LATENCY, *course, username=f"slow-{number}")
    for number in range(others):
        found |= observed(catalogue.CONNECTION_LATENCY, (steps, _FAST), username=f"fast-{number}")
    return found


def _today(*course: tuple[int, list[float]]) -> Series:
    return bucketed(catalogue.TEMPLATE_USER_LATENCY, *course, statistic="p95", window="today")


def _today_of(value: float, *users: str) -> Series:
    return _each(catalogue.USER_LATENCY_P95, value, users, window="today")


def _usually(value: float, *users: str) -> Series:
    return _each(catalogue.USER_LATENCY_P50, value, users, window="30d")


def _each(family: Family, value: float, users: Sequence[str], **labels: str) -> Series:
    found: Series = {}
    for user in users:
        found |= series(family, f"{value}x120", username=user, **labels)
    return found


def _usual_of_all(values: list[float]) -> Series:
    return bucketed(catalogue.TEMPLATE_USER_LATENCY, (120, values), statistic="p50", window="30d")


def _app(value: float) -> Series:
    return observed(catalogue.APP_CONNECTION_LATENCY, (60, value), (60, _FAST))


def _sessions(users: int) -> Series:
    found: Series = {}
    for number in range(users):
        found |= series(catalogue.USER_APP_SESSION, "0+60x120", username=f"user-{number}")
    return found


def _idle(users: int) -> Series:
    found: Series = {}
    for number in range(users):
        found |= series(catalogue.USER_APP_SESSION, "60x120", username=f"user-{number}")
    return found


CASES: Final = (
    Case(
        alert="TemplateLatencyHigh",
        fires=_users(3, 5, _YELLOW),
        near=_users(1, 0, _FAST, until=119),
        pending="30m",
        at="50m",
        over="90m",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "37.5% of the users of template go-dev of acme are above 150 ms and 2 times their usual: one"
            " round trip in twenty to their workspaces takes longer."
        ),
    ),
    Case(
        alert="TemplateLatencyCritical",
        fires=_users(3, 5, _RED),
        near=_users(0, 13, _RED),
        pending="15m",
        at="30m",
        over="90m",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "37.5% of the users of template go-dev of acme are above 300 ms and 2 times their usual: one"
            " round trip in twenty to their workspaces takes longer."
        ),
    ),
    Case(
        alert="TemplateP95High",
        fires=_users(3, 17, _RED),
        near=observed(catalogue.CONNECTION_LATENCY, (120, _FAST), username="slow-2"),
        pending="30m",
        at="50m",
        over="90m",
        labels=TEMPLATE,
        variables=_OF_TEMPLATE,
        description=(
            "Of all round trips to workspaces of template go-dev of acme, one in twenty takes 433.3ms or"
            " longer, and 3 or more users are above 300 ms and 2 times their usual."
        ),
    ),
    Case(
        alert="AppLatencyHigh",
        fires=_app(_RED) | _sessions(3) | _users(3, 2, _RED),
        near=_idle(1),
        pending="30m",
        at="50m",
        over="90m",
        labels={**TEMPLATE, "app": "jupyter"},
        variables=_OF_TEMPLATE,
        description=(
            "While jupyter is open in template go-dev of acme, 95 of 100 round trips take up to 490ms, and 3"
            " or more users of the template are above 300 ms and 2 times their usual."
        ),
    ),
    Case(
        alert="UserLatencyStanding",
        fires=series(catalogue.USER_LATENCY_P50, "0.35x90 0.1x9", window="7d"),
        near=series(catalogue.USER_LATENCY_P50, "0.29x90", window="7d")
        | series(catalogue.USER_LATENCY_P50, "0.9x90", window="today"),
        pending="355m",
        at="420m",
        over="460m",
        labels={**TEMPLATE, "username": "ada"},
        variables=f"{_OF_TEMPLATE}&var-username=ada",
        description=(
            "Half of the time of the last seven days ada waited 350ms or longer for each round trip to"
            " template go-dev of acme."
        ),
        step="5m",
    ),
    Case(
        alert="RelayLatencyHigh",
        fires=bucketed(
            catalogue.AGENT_RELAY_LATENCY, (50, [0.25] * 4), (9, [0.04] * 4), derp_region="Sydney"
        ),
        near=bucketed(catalogue.AGENT_RELAY_LATENCY, (50, [0.25] * 2), derp_region="Sydney"),
        pending="29m",
        at="40m",
        over="52m",
        labels={"derp_region": "Sydney"},
        description=(
            "Half of the agents that prefer relay Sydney need 250ms or longer for a round trip to it, and 3"
            " or more are above 150 ms."
        ),
    ),
    Case(
        alert="LatencyBudgetFastBurn",
        fires=_today((72, [_FAST] * 10), (16, [_RED] * 8 + [_FAST] * 2), (9, [_FAST] * 10)),
        near=_today((72, [_FAST] * 2), (16, [_RED] * 2)),
        pending="400m",
        at="430m",
        over="460m",
        description=(
            "80% of users were above 300 ms and 2 times their usual, where 5.00% may be, both lately and over"
            " the longer window."
        ),
        step="5m",
    ),
    Case(
        alert="LatencyBudgetSlowBurn",
        fires=_today((18, [_RED] * 3 + [_FAST] * 27), (40, [_FAST] * 30)),
        near=_today((40, [_RED] * 3 + [_FAST] * 72)),
        pending="25m",
        at="60m",
        over="240m",
        description=(
            "10% of users were above 300 ms and 2 times their usual, where 5.00% may be, both lately and over"
            " the longer window."
        ),
        step="5m",
    ),
)

_FAR_AWAY: Final = _usually(0.28, "slow-0", "slow-1", "slow-2")

SCENES: Final = (
    *(
        Scene(
            what=f"{alert}: three who are always far away and alone at work are no incident",
            alert=alert,
            series=_users(3, 0, _RED, until=119) | _FAR_AWAY | _app(_RED) | _sessions(3),
            at="110m",
        )
        for alert in (
            "TemplateLatencyHigh",
            "TemplateLatencyCritical",
            "TemplateP95High",
            "AppLatencyHigh",
            "LatencyBudgetFastBurn",
            "LatencyBudgetSlowBurn",
        )
    ),
    Scene(
        what="who is far away counts where it is much slower than usual",
        alert="TemplateLatencyCritical",
        series=_users(3, 5, _RED) | _usually(0.2, "slow-0", "slow-1", "slow-2"),
        at="30m",
        fires=(TEMPLATE,),
    ),
    Scene(
        what="without agent reports, three who are always far away are no incident after midnight",
        alert="TemplateLatencyCritical",
        series=_today((60, [_RED] * 3)) | _today_of(_RED, "slow-0", "slow-1", "slow-2") | _FAR_AWAY,
        at="40m",
    ),
    Scene(
        what="without agent reports, others who are slow are an incident",
        alert="TemplateLatencyCritical",
        series=_today((60, [_RED] * 3)) | _today_of(_RED, "ada", "bo", "cy") | _FAR_AWAY,
        at="40m",
        fires=(TEMPLATE,),
    ),
    Scene(
        what="with names switched off, as many slow users as there usually are are no incident",
        alert="TemplateLatencyCritical",
        series=_today((60, [_RED] * 3)) | _usual_of_all([0.28] * 3 + [_FAST] * 20),
        at="40m",
    ),
    Scene(
        what="with names switched off, more slow users than usual are an incident",
        alert="TemplateLatencyCritical",
        series=_today((60, [_RED] * 6)) | _usual_of_all([0.28] * 3 + [_FAST] * 20),
        at="40m",
        fires=(TEMPLATE,),
    ),
    Scene(
        what="two users of four are too few, whatever their share",
        alert="TemplateLatencyHigh",
        series=_users(2, 2, _RED),
        at="50m",
    ),
    Scene(
        what="three users of thirteen are less than a quarter",
        alert="TemplateLatencyCritical",
        series=_users(3, 10, _RED),
        at="30m",
    ),
    Scene(
        what="without agent reports, what Coder says of today counts",
        alert="TemplateLatencyHigh",
        series=_today((60, [_YELLOW] * 3 + [_FAST] * 5)),
        at="40m",
        fires=(TEMPLATE,),
    ),
    Scene(
        what="without agent reports, a quarter of an hour of red is enough, too",
        alert="TemplateLatencyCritical",
        series=_today((60, [_RED] * 3 + [_FAST] * 5)),
        at="20m",
        fires=(TEMPLATE,),
    ),
    Scene(
        what="without agent reports, the p95 is that of users",
        alert="TemplateP95High",
        series=_today((60, [_RED] * 3 + [_FAST] * 17)),
        at="40m",
        fires=(TEMPLATE,),
    ),
    Scene(
        what="agent reports that are fine now win over what Coder says of today",
        alert="TemplateLatencyCritical",
        series=_users(0, 8, _FAST) | _today((60, [_RED] * 8)),
        at="30m",
    ),
    Scene(
        what="while agents report, a template at rest has no slow users, whatever Coder says of today",
        alert="LatencyBudgetFastBurn",
        series=_today((120, [_RED] * 8))
        | _usual_of_all([_FAST] * 8)
        | observed(catalogue.CONNECTION_LATENCY, (120, _FAST), template_name="rust-dev"),
        at="110m",
    ),
    Scene(
        what="users that a limit folded into one are no user",
        alert="UserLatencyStanding",
        series=series(catalogue.USER_LATENCY_P50, "0.9x90", window="7d", username=catalogue.OTHER),
        at="420m",
        step="5m",
    ),
    Scene(
        what="with names switched off, the template's slow users vouch for the app's",
        alert="AppLatencyHigh",
        series=_app(_RED) | _today((120, [_RED] * 3 + [_FAST] * 5)),
        at="50m",
        fires=({**TEMPLATE, "app": "jupyter"},),
    ),
    Scene(
        what="with names switched off, one slow user is still one",
        alert="AppLatencyHigh",
        series=_app(_RED) | _today((120, [_RED] + [_FAST] * 7)),
        at="50m",
    ),
    Scene(
        what="the objective is watched through agent reports as well",
        alert="LatencyBudgetFastBurn",
        series=_users(8, 2, _RED, until=100),
        at="80m",
        fires=({},),
        step="5m",
    ),
)
