"""Every metric family, declared once."""

from __future__ import annotations

from typing import Final

# The collectors' modules declare the constants; the catalogue offers them all under one name.
from insights_exporter.metrics.catalogue.agent_stats import *  # noqa: F403 - see above.
from insights_exporter.metrics.catalogue.agent_stats import AGENT_STATS_FAMILIES
from insights_exporter.metrics.catalogue.deployment import *  # noqa: F403 - see above.
from insights_exporter.metrics.catalogue.deployment import DEPLOYMENT_FAMILIES
from insights_exporter.metrics.catalogue.exporter import *  # noqa: F403 - see above.
from insights_exporter.metrics.catalogue.exporter import EXPORTER_FAMILIES
from insights_exporter.metrics.catalogue.groups import *  # noqa: F403 - see above.
from insights_exporter.metrics.catalogue.groups import GROUP_FAMILIES
from insights_exporter.metrics.catalogue.insights import *  # noqa: F403 - see above.
from insights_exporter.metrics.catalogue.insights import INSIGHTS_FAMILIES
from insights_exporter.metrics.catalogue.inventory import *  # noqa: F403 - see above.
from insights_exporter.metrics.catalogue.inventory import INVENTORY_FAMILIES
from insights_exporter.metrics.family import OTHER as OTHER  # Re-exported.
from insights_exporter.metrics.family import Family

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0)
"""Upper bounds in seconds of all latency histograms; a change would break recorded history."""

LATENCY_FAIR: Final = 0.15
"""Seconds from which Coder's Insights page shows a latency in yellow; a bucket bound."""

LATENCY_SLOW: Final = 0.3
"""Seconds from which Coder's Insights page shows a latency in red; a bucket bound."""

LATENCY_SCALE: Final = 3
"""Scale of exponential latency buckets: 2**3 buckets per doubling, each 9 % wide."""

CODER_FAMILIES: Final = (
    *INSIGHTS_FAMILIES,
    *INVENTORY_FAMILIES,
    *GROUP_FAMILIES,
    *DEPLOYMENT_FAMILIES,
    *AGENT_STATS_FAMILIES,
)
"""Families about Coder, rendered once per poll, in the order in which they are served."""

FAMILIES: Final = (*CODER_FAMILIES, *EXPORTER_FAMILIES)

_BY_NAME: Final = {family.name: family for family in FAMILIES}


def get_family(name: str) -> Family:
    """Return a family by name; raise KeyError if there is none."""
    return _BY_NAME[name]
