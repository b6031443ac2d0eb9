"""Whether the numbers on the other dashboards are fresh, complete and within limits."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import exporter_service, units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import (
    LIMIT_LINE,
    Panel,
    PanelInfo,
    fixed_color,
    stat_panel,
    state_timeline_panel,
    time_series_panel,
)
from dashboards.generator.queries import QUERY, inventory, self_metrics
from dashboards.generator.queries.self_metrics import QUERY_PER_REPLICA
from dashboards.generator.targets import instant_query, range_query
from dashboards.generator.theme import AMBER, GREEN, RED, ThresholdSteps
from dashboards.generator.variables import target_variables
from insights_exporter.bundle.registry import EXPORTER_HEALTH
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_DAY: Final = 86400
_DATA_AGE_STEPS: Final[ThresholdSteps] = ((None, GREEN), (900, AMBER), (3600, RED))
_TOKEN_EXPIRY_STEPS: Final[ThresholdSteps] = ((None, RED), (_DAY, AMBER), (7 * _DAY, GREEN))
_REPLICAS_UP_STEPS: Final[ThresholdSteps] = ((None, RED), (1, GREEN))
_POLL_STEP: Final = "5m"
"""What polls change is asked no closer than they come."""


def build() -> dict[str, Any]:
    """Return the dashboard."""
    overview = [GridRow(4, [(4, panel) for panel in _stat_panels()])]
    collection = [
        GridRow(8, [(12, _collectors()), (12, _data_age())]),
        GridRow(8, [(8, _polls()), (8, _poll_duration()), (8, _collector_errors())]),
        GridRow(8, [(12, _recorded_usage()), (12, _config_reload())]),
    ]
    rows = [
        Row("At a glance", overview),
        Row("Collection", collection),
        *exporter_service.rows(),
    ]
    return dashboard_json(EXPORTER_HEALTH, target_variables(), rows, time_from="now-24h")


def _stat_panels() -> list[Panel]:
    reload_successful = QUERY.latest(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)
    collection_enabled = QUERY.latest(catalogue.COLLECTION_ENABLED)
    return [
        stat_panel(
            PanelInfo(
                title="Replicas up",
                description="Replicas of the exporter that Prometheus reached in its last scrape.",
                unit=units.count_of("replicas"),
            ),
            range_query(self_metrics.process_metric("up").sum()),
            steps=_REPLICAS_UP_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Oldest data",
                description="Time since the collector that is furthest behind last succeeded.",
                unit=units.SECONDS,
            ),
            instant_query(f"max({self_metrics.data_ages()})"),
            steps=_DATA_AGE_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Token expires in",
                description="Time until Coder refuses the session token; Coder extends some tokens while in use.",
                unit=units.SECONDS,
                no_value="Not known",
            ),
            instant_query(self_metrics.token_seconds_left()),
            steps=_TOKEN_EXPIRY_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Usage statistics",
                description="Whether Coder collects usage; where it does not, zeros mean off and not idle.",
                unit=units.BOOLEAN,
            ),
            instant_query(collection_enabled.apply("min")),
            value_mappings={"1": ("collected", GREEN), "0": ("switched off", RED)},
        ),
        stat_panel(
            PanelInfo(
                title="Series served",
                description="Series of all families that one replica serves of Coder.",
                unit=units.count_of("series"),
            ),
            range_query(f"max({QUERY_PER_REPLICA.latest(catalogue.SERIES).sum('job', 'instance')})"),
        ),
        stat_panel(
            PanelInfo(
                title="Configuration read",
                description="Whether all replicas run with the configuration that is in their files.",
                unit=units.BOOLEAN,
            ),
            instant_query(reload_successful.apply("min")),
            value_mappings={"1": ("as in the file", GREEN), "0": ("last good one", RED)},
        ),
    ]


def _collectors() -> Panel:
    success = QUERY.latest(catalogue.COLLECTOR_SUCCESS)
    description = (
        "Whether each collector's last run succeeded; one that fails keeps its last good data for a while."
    )
    return state_timeline_panel(
        PanelInfo(title="Collectors", description=description, unit=units.BOOLEAN),
        [range_query(success.max("collector"), "{{collector}}")],
        {"1": ("succeeded", GREEN), "0": ("failed", RED)},
    )


def _data_age() -> Panel:
    description = "Time since each collector last succeeded, in the freshest replica."
    panel_info = PanelInfo(title="Age of data", description=description, unit=units.SECONDS)
    return time_series_panel(
        panel_info,
        [range_query(self_metrics.data_ages(), "{{collector}}")],
        steps=_DATA_AGE_STEPS,
        fill_opacity=0,
    )


def _polls() -> Panel:
    polls = QUERY_PER_REPLICA.increase(catalogue.POLLS, "$__rate_interval").sum("result")
    description = "Polls that ended in each step of the graph; a partial one lacks what one collector missed."
    return time_series_panel(
        PanelInfo(title="Polls", description=description, unit=units.count_of("polls")),
        [range_query(polls, "{{result}}", interval=_POLL_STEP)],
        bars=True,
        stacked=True,
        overrides=[("ok", fixed_color(GREEN)), ("partial", fixed_color(AMBER)), ("failed", fixed_color(RED))],
    )


def _poll_duration() -> Panel:
    targets_ = [
        range_query(QUERY_PER_REPLICA.latest(catalogue.POLL_DURATION).max("instance"), "{{instance}}"),
        range_query(QUERY.latest(catalogue.POLL_INTERVAL).apply("max"), "interval"),
    ]
    description = (
        "How long the last poll of each replica took, and how long it may take before the next one is due."
    )
    panel_info = PanelInfo(title="Duration of polls", description=description, unit=units.SECONDS)
    return time_series_panel(panel_info, targets_, overrides=[("interval", LIMIT_LINE)])


def _collector_errors() -> Panel:
    errors = QUERY_PER_REPLICA.increase(catalogue.COLLECTOR_ERRORS, "$__rate_interval").sum(
        "collector", "reason"
    )
    # Every reason is served as 0 from the start on, and would stand in the legend.
    nonzero = errors.binary_op("> 0")
    description = "Runs of collectors and parts of runs that failed in each step of the graph, by reason."
    panel_info = PanelInfo(
        title="Errors by collector",
        description=description,
        unit=units.count_of("errors"),
        no_value="No errors",
    )
    return time_series_panel(
        panel_info,
        [range_query(nonzero, "{{collector}}, {{reason}}", interval=_POLL_STEP)],
        bars=True,
        stacked=True,
    )


def _recorded_usage() -> Panel:
    concurrent = QUERY.increase(catalogue.TEMPLATE_USAGE, "1h").sum().binary_op("/ 3600")
    targets_ = [
        range_query(concurrent, "people at once, by Coder's usage"),
        range_query(inventory.agents({}, "connected").sum(), "agents connected"),
        range_query(QUERY.latest(catalogue.SESSIONS).sum(), "sessions open"),
    ]
    description = (
        "Usage that Coder recorded within the hour before, as people at once, beside agents that are "
        "connected and, where agent reports are read, open sessions. At work it is never 0."
    )
    return time_series_panel(
        PanelInfo(title="Recorded usage", description=description, unit=units.CONCURRENT_USERS), targets_
    )


def _config_reload() -> Panel:
    reload_successful = QUERY_PER_REPLICA.latest(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)
    description = "Whether each replica could read its configuration, or runs on with the last good one."
    return state_timeline_panel(
        PanelInfo(title="Configuration", description=description, unit=units.BOOLEAN),
        [range_query(reload_successful.max("instance"), "{{instance}}")],
        {"1": ("read", GREEN), "0": ("refused", RED)},
    )
