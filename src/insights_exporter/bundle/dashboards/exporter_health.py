"""Whether the numbers on the other dashboards are fresh, complete and within limits."""

from __future__ import annotations

from typing import Any, Final

from insights_exporter.bundle.boards import EXPORTER_HEALTH
from insights_exporter.bundle.dashboards import exporter_service, units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.house import AMBER, GREEN, RED, Steps
from insights_exporter.bundle.dashboards.signals import SCOPE, inventory, own
from insights_exporter.bundle.dashboards.signals.own import REPLICAS
from insights_exporter.bundle.dashboards.styles import LIMIT, About, Built, graph, number, painted, states
from insights_exporter.bundle.dashboards.targets import at_end, series
from insights_exporter.bundle.dashboards.variables import targets
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_DAY: Final = 86400
_OLD: Final[Steps] = ((None, GREEN), (900, AMBER), (3600, RED))
_TOKEN: Final[Steps] = ((None, RED), (_DAY, AMBER), (7 * _DAY, GREEN))
_UP: Final[Steps] = ((None, RED), (1, GREEN))
_PER_POLL: Final = "5m"
"""What polls change is asked no closer than they come."""


def build() -> dict[str, Any]:
    """Return the dashboard."""
    glance = [Line(4, [(4, panel) for panel in _headline()])]
    collection = [
        Line(8, [(12, _collectors()), (12, _ages())]),
        Line(8, [(8, _polls()), (8, _duration()), (8, _errors())]),
        Line(8, [(12, _recorded()), (12, _reload())]),
    ]
    rows = [
        Row("At a glance", glance),
        Row("Collection", collection),
        *exporter_service.rows(),
    ]
    return document(EXPORTER_HEALTH, targets(), rows, since="now-24h")


def _headline() -> list[Built]:
    unread = SCOPE.latest(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)
    collecting = SCOPE.latest(catalogue.COLLECTION_ENABLED)
    return [
        number(
            About(
                title="Replicas up",
                what="Replicas of the exporter that Prometheus reached in its last scrape.",
                unit=units.count("replicas"),
            ),
            series(own.foreign("up").sum()),
            steps=_UP,
        ),
        number(
            About(
                title="Oldest data",
                what="Time since the collector that is furthest behind last succeeded.",
                unit=units.SECONDS,
            ),
            at_end(f"max({own.ages()})"),
            steps=_OLD,
        ),
        number(
            About(
                title="Token expires in",
                what="Time until Coder refuses the session token; Coder extends some tokens while in use.",
                unit=units.SECONDS,
                empty="Not known",
            ),
            at_end(own.token_left()),
            steps=_TOKEN,
        ),
        number(
            About(
                title="Usage statistics",
                what="Whether Coder collects usage; where it does not, zeros mean off and not idle.",
                unit=units.STATE,
            ),
            at_end(collecting.of("min")),
            words={"1": ("collected", GREEN), "0": ("switched off", RED)},
        ),
        number(
            About(
                title="Series served",
                what="Series of all families that one replica serves of Coder.",
                unit=units.count("series"),
            ),
            series(f"max({REPLICAS.latest(catalogue.SERIES).sum('job', 'instance')})"),
        ),
        number(
            About(
                title="Configuration read",
                what="Whether all replicas run with the configuration that is in their files.",
                unit=units.STATE,
            ),
            at_end(unread.of("min")),
            words={"1": ("as in the file", GREEN), "0": ("last good one", RED)},
        ),
    ]


def _collectors() -> Built:
    working = SCOPE.latest(catalogue.COLLECTOR_SUCCESS)
    what = "Whether each collector's last run succeeded; one that fails keeps its last good data for a while."
    return states(
        About(title="Collectors", what=what, unit=units.STATE),
        [series(working.max("collector"), "{{collector}}")],
        {"1": ("succeeded", GREEN), "0": ("failed", RED)},
    )


def _ages() -> Built:
    what = "Time since each collector last succeeded, in the freshest replica."
    about = About(title="Age of data", what=what, unit=units.SECONDS)
    return graph(about, [series(own.ages(), "{{collector}}")], steps=_OLD, filled=0)


def _polls() -> Built:
    polls = REPLICAS.increase(catalogue.POLLS, "$__rate_interval").sum("result")
    what = "Polls that ended in each step of the graph; a partial one lacks what one collector missed."
    return graph(
        About(title="Polls", what=what, unit=units.count("polls")),
        [series(polls, "{{result}}", interval=_PER_POLL)],
        as_bars=True,
        stacked=True,
        overrides=[("ok", painted(GREEN)), ("partial", painted(AMBER)), ("failed", painted(RED))],
    )


def _duration() -> Built:
    targets_ = [
        series(REPLICAS.latest(catalogue.POLL_DURATION).max("instance"), "{{instance}}"),
        series(SCOPE.latest(catalogue.POLL_INTERVAL).of("max"), "interval"),
    ]
    what = "How long the last poll of each replica took, and how long it may take before the next one is due."
    about = About(title="Duration of polls", what=what, unit=units.SECONDS)
    return graph(about, targets_, overrides=[("interval", LIMIT)])


def _errors() -> Built:
    errors = REPLICAS.increase(catalogue.COLLECTOR_ERRORS, "$__rate_interval").sum("collector", "reason")
    # Every reason is served as 0 from the start on, and would stand in the legend.
    seen = errors.times("> 0")
    what = "Runs of collectors and parts of runs that failed in each step of the graph, by reason."
    about = About(title="Errors by collector", what=what, unit=units.count("errors"), empty="No errors")
    return graph(
        about,
        [series(seen, "{{collector}}, {{reason}}", interval=_PER_POLL)],
        as_bars=True,
        stacked=True,
    )


def _recorded() -> Built:
    used = SCOPE.increase(catalogue.TEMPLATE_USAGE, "1h").sum().times("/ 3600")
    targets_ = [
        series(used, "people at once, by Coder's usage"),
        series(inventory.agents({}, "connected").sum(), "agents connected"),
        series(SCOPE.latest(catalogue.SESSIONS).sum(), "sessions open"),
    ]
    what = (
        "Usage that Coder recorded within the hour before, as people at once, beside agents that are "
        "connected and, where agent reports are read, open sessions. At work it is never 0."
    )
    return graph(About(title="Recorded usage", what=what, unit=units.PEOPLE), targets_)


def _reload() -> Built:
    good = REPLICAS.latest(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)
    what = "Whether each replica could read its configuration, or runs on with the last good one."
    return states(
        About(title="Configuration", what=what, unit=units.STATE),
        [series(good.max("instance"), "{{instance}}")],
        {"1": ("read", GREEN), "0": ("refused", RED)},
    )
