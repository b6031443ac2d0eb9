"""Who has a slow connection and since when, who may need a hand, and which agents are ill."""

from __future__ import annotations

from typing import Any, Final

from insights_exporter.bundle.boards import USER_SUPPORT
from insights_exporter.bundle.dashboards import people, units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.house import (
    AMBER,
    ANY_IS_BAD,
    BANDS,
    GREEN,
    IN_TEXT,
    LATENCY_S,
    NO_NAMES,
    NO_REPORTS,
    RED,
    SLOW_SHARE,
)
from insights_exporter.bundle.dashboards.signals import (
    SCOPE,
    SEVERAL,
    SOME_USERS,
    WINDOW,
    inventory,
    latency,
    usage,
)
from insights_exporter.bundle.dashboards.signals.usage import KEY
from insights_exporter.bundle.dashboards.styles import (
    AGENTS,
    About,
    Built,
    bars,
    graph,
    number,
    painted,
    spectrum,
)
from insights_exporter.bundle.dashboards.tables import (
    ORGANIZATION,
    TEMPLATE,
    Column,
    bad_column,
    latency_column,
    listing,
    share_column,
)
from insights_exporter.bundle.dashboards.targets import at_end, buckets, series, spread
from insights_exporter.bundle.dashboards.variables import several_people
from insights_exporter.bundle.queries import like
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_OF_TEMPLATE: Final = "{{organization_name}} / {{template_name}}"
_IN_REPORTS: Final = "10m"
"""Agents report every half minute and the exporter reads that every few, so a shorter rate has gaps."""


def build() -> dict[str, Any]:
    """Return the dashboard."""
    slow = [
        Line(4, [(4, panel) for panel in _headline()]),
        Line(13, [(16, _slow_users()), (8, _distribution())]),
        Line(9, [(12, _of_a_user()), (12, _spectrum())]),
    ]
    where = [
        Line(10, [(24, _templates())]),
        Line(9, [(8, _relays()), (8, _agents_by_relay()), (8, _apps())]),
    ]
    hand = [
        Line(10, [(10, people.without_activity()), (14, people.low_usage())]),
        Line(10, [(24, people.preferred_apps())]),
    ]
    ill = [
        Line(9, [(8, _agents()), (8, _outdated()), (8, _app_health())]),
        Line(9, [(24, _agents_by_template())]),
    ]
    rows = [
        Row("Slow connections", slow),
        Row("Where they are slow", where),
        Row("Who may need a hand", hand),
        Row("Agents and apps", ill),
    ]
    return document(USER_SUPPORT, several_people(), rows)


def _headline() -> list[Built]:
    return [*_connections(), *_machines()]


def _connections() -> list[Built]:
    unmeasured = latency.unmeasured(SEVERAL).max(*KEY)
    return [
        number(
            About(
                title="Slow users",
                what="Users whose 95th percentile in the window lies at 300 ms or above, once per template.",
                unit=units.USERS,
            ),
            series(latency.slow_users(SEVERAL)),
            steps=ANY_IS_BAD,
        ),
        number(
            About(
                title="Share of slow users",
                what="The same as a share of the users whose round trips were measured.",
                unit=units.SHARE,
            ),
            series(latency.slow_share(SEVERAL)),
            steps=SLOW_SHARE,
        ),
        number(
            About(
                title="Typical latency",
                what="The round trip that half of the users stay below, each by their median in the window.",
                unit=units.SECONDS,
            ),
            series(latency.quantile("0.5", "p50", SEVERAL)),
            steps=LATENCY_S,
        ),
        number(
            About(
                title="Never measured",
                what="Users in the window without a single measured round trip, in the template with most.",
                unit=units.USERS,
            ),
            series(unmeasured.max()),
            steps=IN_TEXT,
        ),
    ]


def _machines() -> list[Built]:
    away = inventory.agents(SEVERAL, inventory.AWAY).sum()
    return [
        number(
            About(
                title="Agents away",
                what="Agents of running workspaces that are disconnected or never came.",
                unit=units.count("agents"),
                empty="0",
            ),
            series(away),
            steps=ANY_IS_BAD,
        ),
        number(
            About(
                title="Unhealthy apps",
                what="Apps in running workspaces whose health check fails.",
                unit=units.count("apps"),
                empty="0",
            ),
            series(inventory.ill_apps(SEVERAL).sum()),
            steps=ANY_IS_BAD,
        ),
    ]


def _slow_users() -> Built:
    where = {**SEVERAL, "username": SOME_USERS}
    queries = [
        latency.of_users(catalogue.USER_LATENCY_P95, where).times("* 1000"),
        latency.of_users(catalogue.USER_LATENCY_P50, where).times("* 1000"),
        latency.of_users(catalogue.USER_LATENCY_P95, where, "today").times("* 1000"),
        latency.last_fine(where),
    ]
    columns = [
        Column(source="username", title="User"),
        ORGANIZATION,
        TEMPLATE,
        latency_column("A", "p95", width=100),
        latency_column("B", "p50", width=90),
        latency_column("C", "p95 today", width=130),
        Column(source="D", title="Last below 300 ms", unit=units.AGO, width=150),
    ]
    what = (
        "Round trips of each user and template in the window, slowest first, and so far today. For those who "
        "are slow today: when they last were not, within the range that is shown."
    )
    about = About(title="Latency by user", what=what, unit=units.MILLISECONDS, empty=NO_NAMES)
    return listing(about, queries, columns, sort="p95 (ms)")


def _distribution() -> Built:
    what = "Users by the 95th percentile of their round trips in the window, each bar up to the bound named."
    about = About(title="Distribution of latency", what=what, unit=units.USERS)
    named = [
        (str(bound), {"displayName": _short(bound)} | painted(_color(bound)))
        for bound in catalogue.LATENCY_BUCKETS
    ]
    # Grafana gives all names the room of the longest one.
    beyond = ("+Inf", {"displayName": f"over {_short(catalogue.LATENCY_BUCKETS[-1])}"} | painted(RED))
    return bars(about, [spread(latency.spread("p95", SEVERAL))], overrides=[*named, beyond])


def _short(bound: float) -> str:
    return f"{bound:g} s" if bound >= 1 else f"{bound * 1000:g} ms"


def _color(bound: float) -> str:
    return GREEN if bound <= 0.15 else AMBER if bound <= 0.3 else RED


def _of_a_user() -> Built:
    now = latency.of_users_now("0.95", SEVERAL, SOME_USERS)
    query = f"{now} and on (username) {latency.slowest(10, SEVERAL, SOME_USERS)}"
    what = (
        "The 95th percentile of each selected user's round trips from minute to minute, or of the day so far "
        "where no agent reports are read. At most ten users, those slowest in the range."
    )
    about = About(title="Latency of a user", what=what, unit=units.SECONDS, empty=NO_NAMES)
    return graph(
        about,
        [series(query, "{{username}}", interval=_IN_REPORTS)],
        steps=LATENCY_S,
        filled=0,
        bridged=True,
    )


def _spectrum() -> Built:
    counted = SCOPE.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic="p95", **SEVERAL, **WINDOW).sum("le")
    what = "How many users had the 95th percentile of their round trips in each band, as it stood then."
    return spectrum(About(title="Latency over time", what=what, unit=units.SECONDS), buckets(counted))


def _templates() -> Built:
    bands = latency.banded("p95", SEVERAL, *KEY)
    queries = [
        latency.quantile("0.5", "p50", SEVERAL, *KEY).times("* 1000"),
        latency.quantile("0.5", "p95", SEVERAL, *KEY).times("* 1000"),
        latency.quantile("0.95", "p95", SEVERAL, *KEY).times("* 1000"),
        *(bands[band] for band, _, _ in BANDS),
        latency.unmeasured(SEVERAL).max(*KEY),
        latency.slow_share(SEVERAL, *KEY),
    ]
    columns = [
        ORGANIZATION,
        TEMPLATE,
        latency_column("A", "Median user, p50"),
        latency_column("B", "Median user, p95"),
        latency_column("C", "95 of 100 users, p95"),
        Column(source="D", title="Fast", unit=units.USERS, width=80),
        Column(source="E", title="Fair", unit=units.USERS, width=80),
        Column(source="F", title="Slow", unit=units.USERS, width=80),
        Column(source="G", title="Not measured", unit=units.USERS, width=110),
        share_column("H", "Share slow", SLOW_SHARE),
    ]
    what = (
        "Template against template in the window: the round trip that half or 95 of 100 users stay below, "
        "and how many users lie below 150 ms, below 300 ms and above by their 95th percentile."
    )
    about = About(title="Latency by template", what=what, unit=units.count("milliseconds and users"))
    return listing(about, queries, columns, sort="Share slow")


def _relays() -> Built:
    targets = [series(latency.relay_quantile("0.95"), "{{derp_region}}")]
    what = "The round trip between agents and the relay they prefer that 95 of 100 agents stay below."
    about = About(title="Relay latency by region", what=what, unit=units.SECONDS)
    return graph(about, targets, steps=LATENCY_S, filled=0)


def _agents_by_relay() -> Built:
    every = SCOPE.buckets(catalogue.AGENT_RELAY_LATENCY, le="+Inf").sum("derp_region")
    what = "How many connected agents prefer each relay."
    about = About(title="Agents by relay", what=what, unit=units.count("agents"))
    return bars(about, [at_end(every, "{{derp_region}}")])


def _apps() -> Built:
    slow = usage.app_names(
        latency.reported_quantile("0.95", catalogue.APP_CONNECTION_LATENCY, SEVERAL, "app")
    )
    what = "The round trip that 95 of 100 agent reports stay below while a session of the app is open."
    about = About(title="Latency by app", what=what, unit=units.SECONDS, empty=NO_REPORTS)
    return graph(
        about, [series(slow, "{{name}}", interval=_IN_REPORTS)], steps=LATENCY_S, filled=0, bridged=True
    )


def _agents() -> Built:
    what = "Agents in running workspaces by connection status."
    return graph(
        About(title="Agents", what=what, unit=units.count("agents")),
        [series(inventory.agents(SEVERAL).sum("status"), "{{status}}")],
        stacked=True,
        filled=30,
        overrides=AGENTS,
    )


def _outdated() -> Built:
    old = inventory.outdated(SEVERAL).sum(*KEY)
    what = "Connected agents that run another version than the server; a restart of the workspace heals that."
    return graph(
        About(title="Outdated agents", what=what, unit=units.count("agents")),
        [series(old, _OF_TEMPLATE)],
        stacked=True,
        filled=30,
    )


def _app_health() -> Built:
    health = SCOPE.latest(catalogue.APP_HEALTH, health=like("unhealthy|initializing"), **SEVERAL)
    what = "Apps in running workspaces whose health check fails or has not succeeded yet."
    about = About(title="App health", what=what, unit=units.count("apps"), empty="All apps are healthy")
    return graph(about, [series(health.sum("app", "health"), "{{app}}, {{health}}")], stacked=True, color=RED)


def _agents_by_template() -> Built:
    every, old = inventory.agents(SEVERAL).sum(*KEY), inventory.outdated(SEVERAL).sum(*KEY)
    connected = inventory.agents(SEVERAL, "connected").sum(*KEY)
    queries = [
        connected,
        inventory.agents(SEVERAL, "disconnected").sum(*KEY),
        inventory.agents(SEVERAL, "timeout").sum(*KEY),
        usage.per(inventory.agents(SEVERAL, inventory.AWAY).sum(*KEY), every),
        old,
        usage.per(old, connected),
        inventory.ill_apps(SEVERAL).sum(*KEY),
    ]
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="A", title="Connected", unit=units.count("agents")),
        bad_column("B", "Disconnected", "agents"),
        bad_column("C", "Timed out", "agents"),
        share_column("D", "Share away", SLOW_SHARE),
        bad_column("E", "Outdated", "agents"),
        share_column("F", "Share outdated", SLOW_SHARE),
        bad_column("G", "Unhealthy apps", "apps"),
    ]
    what = "Agents in running workspaces by template: who lost contact, who runs an old version, ill apps."
    about = About(title="Agents by template", what=what, unit=units.count("agents and apps"))
    return listing(about, queries, columns, sort="Share away")
