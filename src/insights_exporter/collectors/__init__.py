"""What is asked of Coder, one module per subject; each returns a part of the snapshot.

What a collector remembers between two polls lives in a state object that outlives it, so that new settings
lose no counter.
"""

from insights_exporter.collectors.base import CoderApi
from insights_exporter.collectors.collected import CollectResult
from insights_exporter.collectors.deployment import DeploymentCollector, DeploymentState
from insights_exporter.collectors.inventory import InventoryCollector, InventoryState
from insights_exporter.insights.collector import InsightsCollector, InsightsState

__all__ = [
    "CoderApi",
    "CollectResult",
    "DeploymentCollector",
    "DeploymentState",
    "InsightsCollector",
    "InsightsState",
    "InventoryCollector",
    "InventoryState",
]
