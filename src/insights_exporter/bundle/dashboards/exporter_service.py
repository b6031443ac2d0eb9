"""What the exporter asks of Coder, serves to Prometheus, and takes of the machine."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.board import Line, Row
from insights_exporter.bundle.dashboards.house import ANY_IS_BAD, GREEN, NO_REPORTS, RED, Steps
from insights_exporter.bundle.dashboards.signals import SCOPE, own
from insights_exporter.bundle.dashboards.signals.own import REPLICAS
from insights_exporter.bundle.dashboards.styles import About, Built, graph
from insights_exporter.bundle.dashboards.tables import Column, Look, bad_column, listing
from insights_exporter.bundle.dashboards.targets import series
from insights_exporter.bundle.queries import Vector
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = ["rows"]

_PER_POLL: Final = "5m"
_WAITING: Final[Steps] = ((None, GREEN), (0.05, RED))
_GRANTED: Final[Steps] = ((None, RED), (1, GREEN))


def rows() -> list[Row]:
    """Return the rows of the exporter's dashboard that are about its surroundings."""
    return [
        Row(
            "Coder's API",
            [
                Line(8, [(10, _by_code()), (14, _by_endpoint())]),
                Line(8, [(12, _latency()), (6, _retries()), (6, _waiting())]),
                Line(8, [(12, _permissions()), (12, _dropped())]),
            ],
        ),
        Row(
            "Series",
            [Line(10, [(12, _series()), (12, _folded())]), Line(8, [(12, _corrections()), (12, _page())])],
        ),
        Row("Process", [Line(8, [(6, panel) for panel in (_memory(), _cpu(), _files(), _scrapes())])]),
        Row("Agent reports and pushes", [Line(8, [(8, panel) for panel in (_reports(), _lag(), _pushes())])]),
    ]


def _counted(family: Family, *by: str) -> Vector:
    return REPLICAS.increase(family, "$__rate_interval").sum(*by)


def _seen(family: Family, *by: str) -> Vector:
    """Return what should not happen where it did; zeros of the rest would only fill the legend."""
    return _counted(family, *by).times("> 0")


def _by_code() -> Built:
    rate = REPLICAS.rate(catalogue.API_REQUESTS).sum("code")
    what = "Requests to Coder by HTTP status, or by the reason why there was no answer."
    about = About(title="Requests by code", what=what, unit=units.CALLS)
    return graph(about, [series(rate, "{{code}}", interval=_PER_POLL)], stacked=True, filled=30)


def _by_endpoint() -> Built:
    rate = REPLICAS.rate(catalogue.API_REQUESTS).sum("endpoint")
    what = "Requests to Coder by endpoint; Coder's limit counts each endpoint by itself."
    about = About(title="Requests by endpoint", what=what, unit=units.CALLS)
    return graph(about, [series(rate, "{{endpoint}}", interval=_PER_POLL)], stacked=True, beside=True)


def _latency() -> Built:
    slow = own.quantile("0.95", catalogue.API_REQUEST_DURATION, "endpoint")
    what = "How long 95 of 100 requests to each endpoint of Coder took at most."
    about = About(title="Duration of requests", what=what, unit=units.SECONDS)
    return graph(about, [series(slow, "{{endpoint}}", interval=_PER_POLL)], filled=0, beside=True)


def _retries() -> Built:
    what = "Requests that were tried once more in each step of the graph, by reason."
    about = About(title="Retries", what=what, unit=units.count("requests"), empty="No retries")
    again = series(_seen(catalogue.API_RETRIES, "reason"), "{{reason}}", interval=_PER_POLL)
    return graph(about, [again], as_bars=True, stacked=True)


def _waiting() -> Built:
    rate = REPLICAS.rate(catalogue.RATE_LIMIT_WAIT).max("instance")
    what = "Share of the time in which each replica waits for Coder's rate limit."
    about = About(title="Waiting for the rate limit", what=what, unit=units.SHARE)
    return graph(about, [series(rate, "{{instance}}", interval=_PER_POLL)], steps=_WAITING)


def _permissions() -> Built:
    may = SCOPE.latest(catalogue.PERMISSION).max("resource", "action")
    columns = [
        Column(source="resource", title="Resource"),
        Column(source="action", title="Action"),
        Column(
            source="A",
            title="Granted",
            words={"1": "yes", "0": "no"},
            look=Look.INK,
            steps=_GRANTED,
            width=110,
        ),
    ]
    what = "What the token may do site-wide. Coder leaves out silently what an account may not see."
    about = About(title="Permissions", what=what, unit=units.STATE)
    return listing(about, [may], columns, sort="Granted", falling=False)


def _dropped() -> Built:
    what = "Parts of Coder's answers that could not be used, in each step of the graph; logs show examples."
    about = About(title="Unusable answers", what=what, unit=units.count("parts"), empty="None")
    lost = series(_seen(catalogue.ROWS_DROPPED, "endpoint"), "{{endpoint}}", interval=_PER_POLL)
    return graph(about, [lost], as_bars=True, stacked=True)


def _series() -> Built:
    queries = [
        SCOPE.latest(catalogue.SERIES).max("family"),
        SCOPE.latest(catalogue.SERIES_FOLDED).max("family"),
    ]
    columns = [
        Column(source="family", title="Family"),
        Column(source="A", title="Series", unit=units.count("series"), look=Look.BAR, width=200),
        bad_column("B", "Folded", "series", width=80),
    ]
    what = "Series that a replica serves of each family, and those that the family's limit folded or dropped."
    about = About(title="Series by family", what=what, unit=units.count("series"))
    return listing(about, queries, columns, sort="Series")


def _folded() -> Built:
    folded = SCOPE.latest(catalogue.SERIES_FOLDED).max("family").times("> 0")
    what = "Series of families that are folded into one or left out, as the limit per family is reached."
    about = About(title="Folded series", what=what, unit=units.count("series"), empty="Nothing is folded")
    return graph(about, [series(folded, "{{family}}")], steps=ANY_IS_BAD)


def _corrections() -> Built:
    what = "Totals that fell in Coder and were held, in each step of the graph, so that counters do not fall."
    about = About(title="Counter corrections", what=what, unit=units.count("totals"), empty="None")
    held = series(_seen(catalogue.COUNTER_CORRECTIONS, "instance"), "{{instance}}", interval=_PER_POLL)
    return graph(about, [held], as_bars=True, stacked=True)


def _page() -> Built:
    size = SCOPE.latest(catalogue.EXPOSITION_BYTES).max("format")
    what = "Size of the page that is served, by format, before compression."
    return graph(About(title="Size of the page", what=what, unit=units.BYTES), [series(size, "{{format}}")])


def _memory() -> Built:
    resident = own.foreign("process_resident_memory_bytes")
    what = "Memory that each replica holds."
    return graph(About(title="Memory", what=what, unit=units.BYTES), [series(resident, "{{instance}}")])


def _cpu() -> Built:
    rate = own.foreign("process_cpu_seconds_total", function="rate", over="$__rate_interval")
    what = "Processor time that each replica takes, as a share of one core."
    about = About(title="Processor", what=what, unit=units.SHARE)
    return graph(about, [series(rate, "{{instance}}", interval=_PER_POLL)])


def _files() -> Built:
    what = "Files and connections that each replica has open."
    about = About(title="Open files", what=what, unit=units.count("files"))
    return graph(about, [series(own.foreign("process_open_fds"), "{{instance}}")])


def _scrapes() -> Built:
    what = "How long scrapes took: on average, and 99 of 100 of them at most."
    targets = [
        series(own.mean(catalogue.SCRAPE_DURATION), "average"),
        series(own.quantile("0.99", catalogue.SCRAPE_DURATION), "p99"),
    ]
    return graph(About(title="Duration of scrapes", what=what, unit=units.SECONDS), targets, filled=0)


def _reports() -> Built:
    what = "Agents' reports that were read in each step of the graph, by what became of them."
    about = About(title="Agent reports", what=what, unit=units.count("reports"), empty=NO_REPORTS)
    read = series(_counted(catalogue.AGENT_STATS_ROWS, "result"), "{{result}}", interval=_PER_POLL)
    return graph(about, [read], as_bars=True, stacked=True)


def _lag() -> Built:
    lag = REPLICAS.latest(catalogue.AGENT_STATS_LAG).max("instance")
    what = "Age of the newest agent report that each replica has read."
    about = About(title="Age of reports", what=what, unit=units.SECONDS, empty=NO_REPORTS)
    return graph(about, [series(lag, "{{instance}}")])


def _pushes() -> Built:
    what = "Pushes to the OpenTelemetry collector in each step of the graph, by result."
    about = About(title="Pushes", what=what, unit=units.count("pushes"), empty="No data: needs otlp.endpoint")
    pushed = series(_counted(catalogue.OTLP_EXPORTS, "result"), "{{result}}", interval=_PER_POLL)
    return graph(about, [pushed], as_bars=True, stacked=True)
