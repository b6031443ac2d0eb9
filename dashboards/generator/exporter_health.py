"""Exporter Health: whether the data is fresh and complete, and details of collection."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import exporter_internals, units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import (
    LIMIT_LINE,
    Panel,
    PanelInfo,
    fixed_color,
    state_timeline_panel,
    time_series_panel,
)
from dashboards.generator.queries import QUERY, inventory, self_metrics
from dashboards.generator.queries.self_metrics import QUERY_PER_REPLICA
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.status import status_row
from dashboards.generator.targets import range_query
from dashboards.generator.theme import (
    AMBER,
    AMBER_LINE,
    DATA_AGE_STEPS,
    GREEN,
    GREEN_LINE,
    RED,
    RED_LINE,
    TRANSPARENT,
    ThresholdSteps,
)
from dashboards.generator.variables import target_variables
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.registry import EXPORTER_HEALTH
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_DAY: Final = 86400
_TOKEN_EXPIRY_STEPS: Final[ThresholdSteps] = (
    (None, RED),
    (_DAY, AMBER),
    (Thresholds().token_warning, TRANSPARENT),
)
_REPLICAS_UP_STEPS: Final[ThresholdSteps] = ((None, RED), (1, TRANSPARENT))
_PROBLEM_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT), (1, RED))
_WARNING_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT), (1, AMBER))
_POLL_STEP: Final = "5m"


def build() -> dict[str, Any]:
    """Return the dashboard."""
    overview = [GridRow(4, [(6, panel) for panel in (_freshness(), _access(), _completeness(), _scraping())])]
    collection = [
        GridRow(8, [(12, _collectors()), (12, _data_age())]),
        GridRow(8, [(8, _polls()), (8, _poll_duration()), (8, _collector_errors())]),
        GridRow(8, [(8, _api_time()), (8, _window_ages()), (8, _postponed_requests())]),
        GridRow(8, [(24, _recorded_usage())]),
    ]
    rows = [
        status_row(),
        Row("Data quality", overview),
        Row("Collection", collection, collapsed=True),
        *exporter_internals.rows(),
    ]
    return dashboard_json(EXPORTER_HEALTH, target_variables(), rows, time_from="now-24h")


def _freshness() -> Panel:
    failing = QUERY.latest(catalogue.COLLECTOR_SUCCESS).max("collector").binary_op("== 0").count()
    stats = [
        Stat(
            always_shown=True,
            name="Oldest data",
            query=f"max({self_metrics.data_ages()})",
            unit=units.SECONDS,
            description="time since the slowest collector last succeeded, also while the exporter is down",
            steps=DATA_AGE_STEPS,
        ),
        Stat(
            always_shown=True,
            name="Failing collectors",
            query=f"{failing} or {self_metrics.reporting()} * 0",
            unit=units.count_of("collectors"),
            description="collectors whose last run failed",
            steps=_PROBLEM_STEPS,
        ),
    ]
    return stat_panel("Freshness", stats)


def _access() -> Panel:
    enabled = QUERY.latest(catalogue.COLLECTION_ENABLED).apply("min")
    stats = [
        Stat(
            always_shown=True,
            name="Token expires in",
            query=self_metrics.token_seconds_left(),
            unit=units.SECONDS,
            description=(
                "time until Coder rejects the token. Use extends it only before v2.32.8, v2.33.9, v2.34.3 "
                "and v2.35.0; `insights-exporter token rotate` replaces it"
            ),
            steps=_TOKEN_EXPIRY_STEPS,
            no_value="Unknown",
        ),
        Stat(
            always_shown=True,
            name="Usage statistics",
            query=enabled,
            unit=units.BOOLEAN,
            description="whether Coder collects usage statistics; without them zeros mean off, not idle",
            value_mappings={"1": ("On", TRANSPARENT), "0": ("Off", RED)},
            no_value="Unknown",
        ),
    ]
    return stat_panel("Access to Coder", stats)


def _completeness() -> Panel:
    denied = QUERY.latest(catalogue.PERMISSION).max("resource", "action").binary_op("== 0")
    stats = [
        Stat(
            always_shown=True,
            name="Missing permissions",
            query=f"{denied.count()} or {self_metrics.reporting()} * 0",
            unit=units.count_of("permissions"),
            description="permissions that the token lacks; Coder then omits data silently",
            steps=_WARNING_STEPS,
        ),
        Stat(
            always_shown=True,
            name="Folded series",
            query=QUERY.latest(catalogue.SERIES_FOLDED).max("family").sum(),
            unit=units.count_of("series"),
            description="series beyond the limit of their family",
            steps=_WARNING_STEPS,
        ),
    ]
    return stat_panel("Completeness", stats)


def _scraping() -> Panel:
    reloaded = QUERY.latest(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL).apply("min")
    stats = [
        Stat(
            always_shown=True,
            name="Replicas up",
            query=self_metrics.replicas_up(),
            unit=units.count_of("replicas"),
            description="replicas that Prometheus can scrape",
            steps=_REPLICAS_UP_STEPS,
            no_value="None known",
        ),
        Stat(
            always_shown=True,
            name="Configuration",
            query=reloaded,
            unit=units.BOOLEAN,
            description="whether all replicas use the configuration in their files, or the last valid one",
            value_mappings={"1": ("Loaded", TRANSPARENT), "0": ("Invalid", RED)},
            no_value="Unknown",
        ),
    ]
    return stat_panel("Exporter", stats)


def _collectors() -> Panel:
    success = QUERY.latest(catalogue.COLLECTOR_SUCCESS)
    description = "Result of each collector's last run. Old data is served until poll.max_staleness."
    return state_timeline_panel(
        PanelInfo(title="Collectors", description=description, unit=units.BOOLEAN),
        [range_query(success.max("collector"), "{{collector}}")],
        {"1": ("succeeded", GREEN), "0": ("failed", RED)},
    )


def _data_age() -> Panel:
    description = "Time since each collector last succeeded, also while the exporter is down."
    return time_series_panel(
        PanelInfo(title="Age of data", description=description, unit=units.SECONDS),
        [range_query(self_metrics.data_ages("1d"), "{{collector}}")],
        steps=((None, GREEN), *DATA_AGE_STEPS[1:]),
        fill_opacity=0,
    )


def _polls() -> Panel:
    polls = QUERY_PER_REPLICA.increase(catalogue.POLLS, "$__rate_interval").sum("result")
    description = "Polls in each step by result. partial: at least one collector failed."
    return time_series_panel(
        PanelInfo(title="Polls", description=description, unit=units.count_of("polls")),
        [range_query(polls, "{{result}}", interval=_POLL_STEP)],
        bars=True,
        stacked=True,
        overrides=[
            ("ok", fixed_color(GREEN_LINE)),
            ("partial", fixed_color(AMBER_LINE)),
            ("failed", fixed_color(RED_LINE)),
        ],
    )


def _poll_duration() -> Panel:
    targets = [
        range_query(QUERY_PER_REPLICA.latest(catalogue.POLL_DURATION).max("instance"), "{{instance}}"),
        range_query(QUERY.latest(catalogue.POLL_INTERVAL).apply("max"), "interval"),
    ]
    description = (
        "Duration of the last poll of each replica, and the poll interval, which it must not exceed."
    )
    panel_info = PanelInfo(title="Duration of polls", description=description, unit=units.SECONDS)
    return time_series_panel(panel_info, targets, overrides=[("interval", LIMIT_LINE)])


def _collector_errors() -> Panel:
    errors = self_metrics.nonzero_or_none(catalogue.COLLECTOR_ERRORS, "collector", "collector", "reason")
    panel_info = PanelInfo(
        title="Errors by collector",
        description="Failed runs and failed parts of runs in each step, by reason. none: no errors.",
        unit=units.count_of("errors"),
    )
    return time_series_panel(
        panel_info,
        [range_query(errors, "{{collector}} {{reason}}", interval=_POLL_STEP)],
        bars=True,
        stacked=True,
    )


def _api_time() -> Panel:
    spent = catalogue.API_TIME_RATIO
    targets = [
        range_query(QUERY_PER_REPLICA.latest(spent).max("instance"), "{{instance}}, last poll"),
        range_query(
            QUERY_PER_REPLICA.over_time("avg_over_time", spent, "1h").max("instance"), "{{instance}}, 1h"
        ),
        range_query(QUERY.latest(catalogue.API_TIME_LIMIT).apply("max"), "limit"),
    ]
    description = (
        "Time that Coder spent on requests, as a share of the poll interval. poll.max_api_time_ratio limits "
        "the average of an hour."
    )
    panel_info = PanelInfo(title="Time of Coder", description=description, unit=units.SHARE)
    return time_series_panel(panel_info, targets, overrides=[("limit", LIMIT_LINE)])


def _window_ages() -> Panel:
    ages = f"time() - {QUERY.latest(catalogue.WINDOW_UPDATED).max('window')}"
    description = (
        "Age of the oldest data of any template by window. Parameters, opens and latency of 2 to 7 days are "
        "refreshed hourly, those of longer windows every four hours; all data less often near the limit."
    )
    return time_series_panel(
        PanelInfo(title="Age of windows", description=description, unit=units.SECONDS),
        [range_query(ages, "{{window}}")],
        fill_opacity=0,
    )


def _postponed_requests() -> Panel:
    postponed = QUERY_PER_REPLICA.latest(catalogue.POSTPONED_REQUESTS).max("instance")
    panel_info = PanelInfo(
        title="Postponed requests",
        description="Requests that the last poll left for a later one, because Coder's time was used up.",
        unit=units.count_of("requests"),
    )
    return time_series_panel(panel_info, [range_query(postponed, "{{instance}}")])


def _recorded_usage() -> Panel:
    concurrent = QUERY.increase(catalogue.TEMPLATE_USAGE, "1h").sum().binary_op("/ 3600")
    targets = [
        range_query(concurrent, "Concurrent users, from usage"),
        range_query(inventory.connected_agents({}).sum(), "Connected agents"),
        range_query(QUERY.latest(catalogue.SESSIONS).sum(), "Open sessions"),
    ]
    description = (
        "Usage that Coder recorded in the hour before, as users at the same time, beside connected agents "
        "and open sessions from agent reports. Sessions without usage mean that Coder records nothing."
    )
    return time_series_panel(
        PanelInfo(title="Recorded usage", description=description, unit=units.CONCURRENT_USERS), targets
    )
