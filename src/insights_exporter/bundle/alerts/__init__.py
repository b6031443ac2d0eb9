"""Alert rules: when to call whom, in the forms in which rules are installed."""

from __future__ import annotations

from insights_exporter.bundle.alerts import activity, parameters
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, RuleGroup, Severity
from insights_exporter.bundle.alerts.rules import active_users, agents, app_usage, exporter, latency, slo
from insights_exporter.bundle.alerts.thresholds import Thresholds

__all__ = [
    "Alert",
    "InstallOptions",
    "PanelLink",
    "RecordingRule",
    "RuleGroup",
    "Severity",
    "Thresholds",
    "rule_groups",
]


def rule_groups(options: InstallOptions) -> tuple[RuleGroup, ...]:
    """Return all rules: those on the exporter first, as the others depend on it."""
    rule_modules = (exporter, latency, slo, active_users, app_usage, activity, parameters, agents)
    return tuple(module.group(options) for module in rule_modules)
