"""What agents report every half minute, from Coder's database or from coderd's own metrics.

Both sources count into a ``Ledger``, which says what is known, and keeps it across restarts.
"""

from insights_exporter.collectors.agent_stats.apps import FAMILIES, family
from insights_exporter.collectors.agent_stats.collector import LedgerCollector, PostgresCollector
from insights_exporter.collectors.agent_stats.debug_route import through_api
from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.collectors.agent_stats.ledger import Ledger, OpenNow
from insights_exporter.collectors.agent_stats.page import Page, parse
from insights_exporter.collectors.agent_stats.roster import Roster
from insights_exporter.collectors.agent_stats.sampling import TICK, SamplingReader
from insights_exporter.collectors.agent_stats.source import NAME, AgentStatsCollector
from insights_exporter.collectors.agent_stats.state import StateFile
from insights_exporter.collectors.agent_stats.tally import Tally

__all__ = [
    "FAMILIES",
    "NAME",
    "TICK",
    "AgentStatsCollector",
    "Ledger",
    "LedgerCollector",
    "OpenNow",
    "Page",
    "PostgresCollector",
    "Roster",
    "SamplingReader",
    "SourceError",
    "StateFile",
    "Tally",
    "family",
    "parse",
    "through_api",
]
