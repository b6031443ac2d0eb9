"""All alerting and recording rules."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import RuleGroup
from insights_exporter.bundle.alerts.rules import (
    active_users,
    app_usage,
    exporter,
    latency,
    slo,
    workspaces,
)

__all__ = ["rule_groups"]


def rule_groups(options: InstallOptions) -> tuple[RuleGroup, ...]:
    """Return all rules; the exporter's come first, because all others depend on its data."""
    return (
        exporter.group(options),
        latency.group(options),
        slo.group(options),
        active_users.group(options),
        app_usage.group(options),
        active_users.activity_group(options),
        app_usage.parameters_group(options),
        workspaces.agents_group(options),
        workspaces.group(options),
    )
