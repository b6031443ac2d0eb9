"""What agents report every half minute, from Coder's database or from coderd's own metrics.

Both sources count into a ``Ledger``, which says what is known, and keeps it across restarts.
"""

from insights_exporter.agent_stats.accumulator import Accumulator, CurrentSessions
from insights_exporter.agent_stats.aggregate import Aggregate
from insights_exporter.agent_stats.app_families import APP_FAMILIES, app_family
from insights_exporter.agent_stats.coderd_metrics.reader import COLLECT_INTERVAL, CoderdMetricsReader
from insights_exporter.agent_stats.coderd_metrics.scrape import AgentScrape, parse_scrape
from insights_exporter.agent_stats.collector import AgentStatsCollector, PostgresCollector
from insights_exporter.agent_stats.state_file import StateFile
from insights_exporter.collectors.agent_stats.debug_route import fetch_debug_metrics
from insights_exporter.collectors.agent_stats.faults import AgentStatsError
from insights_exporter.collectors.agent_stats.roster import WorkspaceIndex
from insights_exporter.collectors.agent_stats.source import COLLECTOR_NAME, AgentStatsCollectorProtocol

__all__ = [
    "APP_FAMILIES",
    "COLLECTOR_NAME",
    "COLLECT_INTERVAL",
    "Accumulator",
    "AgentScrape",
    "AgentStatsCollector",
    "AgentStatsCollectorProtocol",
    "AgentStatsError",
    "Aggregate",
    "CoderdMetricsReader",
    "CurrentSessions",
    "PostgresCollector",
    "StateFile",
    "WorkspaceIndex",
    "app_family",
    "fetch_debug_metrics",
    "parse_scrape",
]
