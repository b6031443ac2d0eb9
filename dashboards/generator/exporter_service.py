"""What the exporter asks of Coder, serves to Prometheus, and takes of the machine."""

from __future__ import annotations

from typing import Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row
from dashboards.generator.panels import Panel, PanelInfo, time_series_panel
from dashboards.generator.queries import QUERY, self_metrics
from dashboards.generator.queries.self_metrics import QUERY_PER_REPLICA
from dashboards.generator.tables import CellStyle, Column, problem_column, table_panel
from dashboards.generator.targets import range_query
from dashboards.generator.theme import GREEN, NO_AGENT_REPORTS, PROBLEM_COUNT_STEPS, RED, ThresholdSteps
from insights_exporter.bundle.promql import Expr
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = ["rows"]

_POLL_STEP: Final = "5m"
_RATE_LIMIT_STEPS: Final[ThresholdSteps] = ((None, GREEN), (0.05, RED))
_PERMISSION_STEPS: Final[ThresholdSteps] = ((None, RED), (1, GREEN))


def rows() -> list[Row]:
    """Return the rows of the exporter's dashboard that are about its surroundings."""
    return [
        Row(
            "Coder's API",
            [
                GridRow(8, [(10, _requests_by_code()), (14, _requests_by_endpoint())]),
                GridRow(8, [(12, _request_duration()), (6, _retries()), (6, _rate_limit_wait())]),
                GridRow(8, [(12, _permissions()), (12, _dropped_rows())]),
            ],
        ),
        Row(
            "Series",
            [
                GridRow(10, [(12, _series_by_family()), (12, _folded_series())]),
                GridRow(8, [(12, _counter_corrections()), (12, _exposition_size())]),
            ],
        ),
        Row(
            "Process",
            [GridRow(8, [(6, panel) for panel in (_memory(), _cpu(), _open_files(), _scrape_duration())])],
        ),
        Row(
            "Agent reports and pushes",
            [GridRow(8, [(8, panel) for panel in (_agent_reports(), _agent_stats_lag(), _otlp_exports())])],
        ),
    ]


def _increase(family: Family, *by: str) -> Expr:
    return QUERY_PER_REPLICA.increase(family, "$__rate_interval").sum(*by)


def _nonzero_increase(family: Family, *by: str) -> Expr:
    """Return what should not happen where it did; zeros of the rest would only fill the legend."""
    return _increase(family, *by).binary_op("> 0")


def _requests_by_code() -> Panel:
    rate = QUERY_PER_REPLICA.rate(catalogue.API_REQUESTS).sum("code")
    description = "Requests to Coder by HTTP status, or by the reason why there was no answer."
    panel_info = PanelInfo(title="Requests by code", description=description, unit=units.REQUESTS_PER_SECOND)
    return time_series_panel(
        panel_info, [range_query(rate, "{{code}}", interval=_POLL_STEP)], stacked=True, fill_opacity=30
    )


def _requests_by_endpoint() -> Panel:
    rate = QUERY_PER_REPLICA.rate(catalogue.API_REQUESTS).sum("endpoint")
    description = "Requests to Coder by endpoint; Coder's limit counts each endpoint by itself."
    panel_info = PanelInfo(
        title="Requests by endpoint", description=description, unit=units.REQUESTS_PER_SECOND
    )
    return time_series_panel(
        panel_info, [range_query(rate, "{{endpoint}}", interval=_POLL_STEP)], stacked=True, legend_right=True
    )


def _request_duration() -> Panel:
    p95 = self_metrics.quantile("0.95", catalogue.API_REQUEST_DURATION, "endpoint")
    description = "How long 95 of 100 requests to each endpoint of Coder took at most."
    panel_info = PanelInfo(title="Duration of requests", description=description, unit=units.SECONDS)
    return time_series_panel(
        panel_info, [range_query(p95, "{{endpoint}}", interval=_POLL_STEP)], fill_opacity=0, legend_right=True
    )


def _retries() -> Panel:
    description = "Requests that were tried once more in each step of the graph, by reason."
    panel_info = PanelInfo(
        title="Retries", description=description, unit=units.count_of("requests"), no_value="No retries"
    )
    retries = range_query(
        _nonzero_increase(catalogue.API_RETRIES, "reason"), "{{reason}}", interval=_POLL_STEP
    )
    return time_series_panel(panel_info, [retries], bars=True, stacked=True)


def _rate_limit_wait() -> Panel:
    rate = QUERY_PER_REPLICA.rate(catalogue.RATE_LIMIT_WAIT).max("instance")
    description = "Share of the time in which each replica waits for Coder's rate limit."
    panel_info = PanelInfo(title="Waiting for the rate limit", description=description, unit=units.SHARE)
    return time_series_panel(
        panel_info, [range_query(rate, "{{instance}}", interval=_POLL_STEP)], steps=_RATE_LIMIT_STEPS
    )


def _permissions() -> Panel:
    permissions = QUERY.latest(catalogue.PERMISSION).max("resource", "action")
    columns = [
        Column(source="resource", title="Resource"),
        Column(source="action", title="Action"),
        Column(
            source="A",
            title="Granted",
            value_mappings={"1": "yes", "0": "no"},
            cell_style=CellStyle.COLORED_TEXT,
            steps=_PERMISSION_STEPS,
            width=110,
        ),
    ]
    description = "What the token may do site-wide. Coder leaves out silently what an account may not see."
    panel_info = PanelInfo(title="Permissions", description=description, unit=units.BOOLEAN)
    return table_panel(panel_info, [permissions], columns, sort="Granted", descending=False)


def _dropped_rows() -> Panel:
    description = (
        "Parts of Coder's answers that could not be used, in each step of the graph; logs show examples."
    )
    panel_info = PanelInfo(
        title="Unusable answers", description=description, unit=units.count_of("parts"), no_value="None"
    )
    dropped = range_query(
        _nonzero_increase(catalogue.ROWS_DROPPED, "endpoint"), "{{endpoint}}", interval=_POLL_STEP
    )
    return time_series_panel(panel_info, [dropped], bars=True, stacked=True)


def _series_by_family() -> Panel:
    queries = [
        QUERY.latest(catalogue.SERIES).max("family"),
        QUERY.latest(catalogue.SERIES_FOLDED).max("family"),
    ]
    columns = [
        Column(source="family", title="Family"),
        Column(
            source="A", title="Series", unit=units.count_of("series"), cell_style=CellStyle.GAUGE, width=200
        ),
        problem_column("B", "Folded", "series", width=80),
    ]
    description = (
        "Series that a replica serves of each family, and those that the family's limit folded or dropped."
    )
    panel_info = PanelInfo(title="Series by family", description=description, unit=units.count_of("series"))
    return table_panel(panel_info, queries, columns, sort="Series")


def _folded_series() -> Panel:
    folded = QUERY.latest(catalogue.SERIES_FOLDED).max("family").binary_op("> 0")
    description = (
        "Series of families that are folded into one or left out, as the limit per family is reached."
    )
    panel_info = PanelInfo(
        title="Folded series",
        description=description,
        unit=units.count_of("series"),
        no_value="Nothing is folded",
    )
    return time_series_panel(panel_info, [range_query(folded, "{{family}}")], steps=PROBLEM_COUNT_STEPS)


def _counter_corrections() -> Panel:
    description = (
        "Totals that fell in Coder and were held, in each step of the graph, so that counters do not fall."
    )
    panel_info = PanelInfo(
        title="Counter corrections", description=description, unit=units.count_of("totals"), no_value="None"
    )
    corrections = range_query(
        _nonzero_increase(catalogue.COUNTER_CORRECTIONS, "instance"), "{{instance}}", interval=_POLL_STEP
    )
    return time_series_panel(panel_info, [corrections], bars=True, stacked=True)


def _exposition_size() -> Panel:
    size = QUERY.latest(catalogue.EXPOSITION_BYTES).max("format")
    description = "Size of the page that is served, by format, before compression."
    return time_series_panel(
        PanelInfo(title="Size of the page", description=description, unit=units.BYTES),
        [range_query(size, "{{format}}")],
    )


def _memory() -> Panel:
    resident = self_metrics.process_metric("process_resident_memory_bytes")
    description = "Memory that each replica holds."
    return time_series_panel(
        PanelInfo(title="Memory", description=description, unit=units.BYTES),
        [range_query(resident, "{{instance}}")],
    )


def _cpu() -> Panel:
    rate = self_metrics.process_metric(
        "process_cpu_seconds_total", function="rate", range_="$__rate_interval"
    )
    description = "Processor time that each replica takes, as a share of one core."
    panel_info = PanelInfo(title="Processor", description=description, unit=units.SHARE)
    return time_series_panel(panel_info, [range_query(rate, "{{instance}}", interval=_POLL_STEP)])


def _open_files() -> Panel:
    description = "Files and connections that each replica has open."
    panel_info = PanelInfo(title="Open files", description=description, unit=units.count_of("files"))
    return time_series_panel(
        panel_info, [range_query(self_metrics.process_metric("process_open_fds"), "{{instance}}")]
    )


def _scrape_duration() -> Panel:
    description = "How long scrapes took: on average, and 99 of 100 of them at most."
    targets = [
        range_query(self_metrics.mean(catalogue.SCRAPE_DURATION), "average"),
        range_query(self_metrics.quantile("0.99", catalogue.SCRAPE_DURATION), "p99"),
    ]
    return time_series_panel(
        PanelInfo(title="Duration of scrapes", description=description, unit=units.SECONDS),
        targets,
        fill_opacity=0,
    )


def _agent_reports() -> Panel:
    description = "Agents' reports that were read in each step of the graph, by what became of them."
    panel_info = PanelInfo(
        title="Agent reports",
        description=description,
        unit=units.count_of("reports"),
        no_value=NO_AGENT_REPORTS,
    )
    rows_by_result = range_query(
        _increase(catalogue.AGENT_STATS_ROWS, "result"), "{{result}}", interval=_POLL_STEP
    )
    return time_series_panel(panel_info, [rows_by_result], bars=True, stacked=True)


def _agent_stats_lag() -> Panel:
    lag = QUERY_PER_REPLICA.latest(catalogue.AGENT_STATS_LAG).max("instance")
    description = "Age of the newest agent report that each replica has read."
    panel_info = PanelInfo(
        title="Age of reports", description=description, unit=units.SECONDS, no_value=NO_AGENT_REPORTS
    )
    return time_series_panel(panel_info, [range_query(lag, "{{instance}}")])


def _otlp_exports() -> Panel:
    description = "Pushes to the OpenTelemetry collector in each step of the graph, by result."
    panel_info = PanelInfo(
        title="Pushes",
        description=description,
        unit=units.count_of("pushes"),
        no_value="No data: needs otlp.endpoint",
    )
    exports = range_query(_increase(catalogue.OTLP_EXPORTS, "result"), "{{result}}", interval=_POLL_STEP)
    return time_series_panel(panel_info, [exports], bars=True, stacked=True)
