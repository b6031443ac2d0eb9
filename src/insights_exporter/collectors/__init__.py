"""Collectors of the deployment and the inventory; each returns one part of the snapshot.

State that must survive a configuration reload, such as caches, lives in a state object that the caller keeps.
"""

from insights_exporter.collectors.base import CoderApi, CollectResult
from insights_exporter.collectors.deployment import DeploymentCollector, DeploymentState
from insights_exporter.collectors.group_usage import count_group_usage
from insights_exporter.collectors.inventory import InventoryCollector, InventoryState
from insights_exporter.collectors.onboarding import observe_onboarding

__all__ = [
    "CoderApi",
    "CollectResult",
    "DeploymentCollector",
    "DeploymentState",
    "InventoryCollector",
    "InventoryState",
    "count_group_usage",
    "observe_onboarding",
]
