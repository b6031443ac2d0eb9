"""What is asked of Coder, one module per subject; each returns a part of the snapshot.

What a collector remembers between two polls lives in a state object that outlives it, so that new settings
lose no counter.
"""

from insights_exporter.collectors.collected import Collected
from insights_exporter.collectors.deployment import DeploymentCollector, DeploymentState
from insights_exporter.collectors.insights import InsightsCollector, InsightsState
from insights_exporter.collectors.inventory import InventoryCollector, InventoryState
from insights_exporter.collectors.source import Coder

__all__ = [
    "Coder",
    "Collected",
    "DeploymentCollector",
    "DeploymentState",
    "InsightsCollector",
    "InsightsState",
    "InventoryCollector",
    "InventoryState",
]
