"""Collectors of the deployment and the inventory; each returns one part of the snapshot.

State that must survive a configuration reload, such as caches, lives in a state object that the caller keeps.
"""

from insights_exporter.collectors.base import CoderApi, CollectResult
from insights_exporter.collectors.deployment import DeploymentCollector, DeploymentState
from insights_exporter.collectors.inventory import InventoryCollector, InventoryState

__all__ = [
    "CoderApi",
    "CollectResult",
    "DeploymentCollector",
    "DeploymentState",
    "InventoryCollector",
    "InventoryState",
]
