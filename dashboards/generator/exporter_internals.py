"""Rows of Exporter Health about requests, series, resources, agent reports and pushes."""

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
from insights_exporter.metrics.family import PREFIX, Family

__all__ = ["rows"]

_POLL_STEP: Final = "5m"
_RATE_LIMIT_STEPS: Final[ThresholdSteps] = ((None, GREEN), (0.05, RED))
_PERMISSION_STEPS: Final[ThresholdSteps] = ((None, RED), (1, GREEN))


def rows() -> list[Row]:
    """Return the rows, collapsed."""
    return [
        Row(
            "Requests to Coder",
            [
                GridRow(8, [(10, _requests_by_code()), (14, _requests_by_endpoint())]),
                GridRow(8, [(12, _request_duration()), (6, _retries()), (6, _rate_limit_wait())]),
                GridRow(8, [(12, _permissions()), (12, _dropped_rows())]),
            ],
            collapsed=True,
        ),
        Row(
            "Series",
            [
                GridRow(10, [(12, _series_by_family()), (12, _folded_series())]),
                GridRow(8, [(8, _counter_corrections()), (8, _exposition_size()), (8, _withheld_items())]),
            ],
            collapsed=True,
        ),
        Row(
            "Resources",
            [GridRow(8, [(8, panel) for panel in (_memory(), _cpu(), _scrape_duration())])],
            collapsed=True,
        ),
        Row(
            "Agent reports and pushes",
            [GridRow(8, [(8, panel) for panel in (_agent_reports(), _agent_stats_lag(), _otlp_exports())])],
            collapsed=True,
        ),
    ]


def _increase(family: Family, *by: str) -> Expr:
    return QUERY_PER_REPLICA.increase(family, "$__rate_interval").sum(*by)


def _event_panel(title: str, description: str, noun: str, family: Family, label: str) -> Panel:
    """Return bars of events by a label, and a series ``none`` at 0 without events."""
    panel_info = PanelInfo(title=title, description=description, unit=units.count_of(noun))
    query = self_metrics.nonzero_or_none(family, label, label)
    targets = [range_query(query, f"{{{{{label}}}}}", interval=_POLL_STEP)]
    return time_series_panel(panel_info, targets, bars=True, stacked=True)


def _requests_by_code() -> Panel:
    rate = QUERY_PER_REPLICA.rate(catalogue.API_REQUESTS).sum("code")
    description = "Requests to Coder by HTTP status, or by reason where there was no response."
    panel_info = PanelInfo(title="Requests by code", description=description, unit=units.REQUESTS_PER_SECOND)
    return time_series_panel(
        panel_info, [range_query(rate, "{{code}}", interval=_POLL_STEP)], stacked=True, fill_opacity=30
    )


def _requests_by_endpoint() -> Panel:
    rate = QUERY_PER_REPLICA.rate(catalogue.API_REQUESTS).sum("endpoint")
    description = "Requests to Coder by endpoint. Coder's rate limit applies to each endpoint."
    panel_info = PanelInfo(
        title="Requests by endpoint", description=description, unit=units.REQUESTS_PER_SECOND
    )
    return time_series_panel(
        panel_info, [range_query(rate, "{{endpoint}}", interval=_POLL_STEP)], stacked=True, legend_right=True
    )


def _request_duration() -> Panel:
    p95 = self_metrics.quantile("0.95", catalogue.API_REQUEST_DURATION, "endpoint")
    panel_info = PanelInfo(
        title="p95 duration of requests",
        description="p95 of the duration of requests to Coder by endpoint.",
        unit=units.SECONDS,
    )
    return time_series_panel(
        panel_info, [range_query(p95, "{{endpoint}}", interval=_POLL_STEP)], fill_opacity=0, legend_right=True
    )


def _retries() -> Panel:
    return _event_panel(
        "Retries",
        "Repeated requests in each step, by reason. none: no retries.",
        "requests",
        catalogue.API_RETRIES,
        "reason",
    )


def _rate_limit_wait() -> Panel:
    rate = QUERY_PER_REPLICA.rate(catalogue.RATE_LIMIT_WAIT).max("instance")
    panel_info = PanelInfo(
        title="Waiting for the rate limit",
        description="Share of the time in which each replica waits for Coder's rate limit.",
        unit=units.SHARE,
    )
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
            cell_style=CellStyle.COLORED_BACKGROUND,
            steps=_PERMISSION_STEPS,
            width=110,
        ),
    ]
    description = "Site-wide permissions of the token. Coder silently omits what the account must not see."
    panel_info = PanelInfo(title="Permissions", description=description, unit=units.BOOLEAN)
    return table_panel(
        panel_info, [permissions], columns, sort="Granted", descending=False, always_shown=True
    )


def _dropped_rows() -> Panel:
    return _event_panel(
        "Dropped rows",
        "Invalid rows of Coder's responses in each step, by endpoint; the log has examples. none: no "
        "dropped rows.",
        "rows",
        catalogue.ROWS_DROPPED,
        "endpoint",
    )


def _short_family(series: Expr) -> Expr:
    """Return the series by family, without the common prefix of the names."""
    text = f'label_replace({series.max("family")}, "family", "$1", "family", "{PREFIX}(.+)")'
    return Expr(text, ("family",), frozenset())


def _series_by_family() -> Panel:
    queries = [_short_family(QUERY.latest(family)) for family in (catalogue.SERIES, catalogue.SERIES_FOLDED)]
    columns = [
        Column(source="family", title="Family"),
        Column(
            source="A", title="Series", unit=units.count_of("series"), cell_style=CellStyle.GAUGE, width=200
        ),
        problem_column("B", "Folded", "series", width=80),
    ]
    description = f"Served series of each family, and series beyond its limit. Names without {PREFIX}."
    panel_info = PanelInfo(title="Series by family", description=description, unit=units.count_of("series"))
    return table_panel(panel_info, queries, columns, sort="Series", always_shown=True)


def _folded_series() -> Panel:
    folded = _short_family(QUERY.latest(catalogue.SERIES_FOLDED)).binary_op("> 0")
    none = f'label_replace({self_metrics.reporting()} * 0, "family", "none", "", "")'
    panel_info = PanelInfo(
        title="Folded series",
        description="Series beyond the limit of their family, folded or dropped. none: no folded series.",
        unit=units.count_of("series"),
    )
    targets = [range_query(f"{folded} or ({none} unless on () {folded})", "{{family}}")]
    return time_series_panel(panel_info, targets, steps=((None, GREEN), *PROBLEM_COUNT_STEPS[1:]))


def _counter_corrections() -> Panel:
    return _event_panel(
        "Counter corrections",
        "Totals that decreased in Coder and were held in each step, so that counters do not decrease. "
        "none: no corrections.",
        "totals",
        catalogue.COUNTER_CORRECTIONS,
        "instance",
    )


def _exposition_size() -> Panel:
    size = QUERY.latest(catalogue.EXPOSITION_BYTES).max("format")
    return time_series_panel(
        PanelInfo(
            title="Size of a scrape",
            description="Uncompressed size of a scrape by format.",
            unit=units.BYTES,
        ),
        [range_query(size, "{{format}}")],
    )


def _withheld_items() -> Panel:
    withheld = QUERY.latest(catalogue.ITEMS_WITHHELD).max("kind").binary_op("> 0")
    panel_info = PanelInfo(
        title="Withheld items",
        description="Templates, apps, groups and values withheld because they describe fewer people than "
        "`privacy.min_group_size`, by kind.",
        unit=units.count_of("items"),
        no_value="Nothing withheld: privacy.min_group_size is not configured, or no group is small",
    )
    return time_series_panel(panel_info, [range_query(withheld, "{{kind}}")])


def _memory() -> Panel:
    resident = self_metrics.process_metric("process_resident_memory_bytes")
    return time_series_panel(
        PanelInfo(title="Memory", description="Resident memory of each replica.", unit=units.BYTES),
        [range_query(resident, "{{instance}}")],
    )


def _cpu() -> Panel:
    rate = self_metrics.process_metric(
        "process_cpu_seconds_total", function="rate", range_="$__rate_interval"
    )
    panel_info = PanelInfo(
        title="CPU", description="CPU time of each replica as a share of one core.", unit=units.SHARE
    )
    return time_series_panel(panel_info, [range_query(rate, "{{instance}}", interval=_POLL_STEP)])


def _scrape_duration() -> Panel:
    targets = [
        range_query(self_metrics.mean(catalogue.SCRAPE_DURATION), "mean", interval=_POLL_STEP),
        range_query(self_metrics.quantile("0.99", catalogue.SCRAPE_DURATION), "p99", interval=_POLL_STEP),
    ]
    return time_series_panel(
        PanelInfo(
            title="Duration of scrapes",
            description="Mean and p99 of the duration of scrapes.",
            unit=units.SECONDS,
        ),
        targets,
        fill_opacity=0,
    )


def _agent_reports() -> Panel:
    panel_info = PanelInfo(
        title="Agent reports",
        description="Agent reports that were read in each step, by result.",
        unit=units.count_of("reports"),
        no_value=NO_AGENT_REPORTS,
    )
    reports = range_query(_increase(catalogue.AGENT_STATS_ROWS, "result"), "{{result}}", interval=_POLL_STEP)
    return time_series_panel(panel_info, [reports], bars=True, stacked=True)


def _agent_stats_lag() -> Panel:
    lag = QUERY_PER_REPLICA.latest(catalogue.AGENT_STATS_LAG).max("instance")
    panel_info = PanelInfo(
        title="Age of agent reports",
        description="Age of the newest agent report that each replica has read.",
        unit=units.SECONDS,
        no_value=NO_AGENT_REPORTS,
    )
    return time_series_panel(panel_info, [range_query(lag, "{{instance}}")])


def _otlp_exports() -> Panel:
    panel_info = PanelInfo(
        title="OTLP exports",
        description="Pushes to the OpenTelemetry collector in each step, by result.",
        unit=units.count_of("pushes"),
        no_value="No data: otlp.endpoint is not configured, or see Data status",
    )
    exports = range_query(_increase(catalogue.OTLP_EXPORTS, "result"), "{{result}}", interval=_POLL_STEP)
    return time_series_panel(panel_info, [exports], bars=True, stacked=True)
