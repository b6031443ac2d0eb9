"""Alert rules: when to call whom, in the forms in which rules are installed."""

from __future__ import annotations

from insights_exporter.bundle.alerts import (
    active_users,
    activity,
    agents,
    app_usage,
    exporter,
    latency,
    parameters,
    slo,
)
from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.thresholds import Thresholds

__all__ = ["Alert", "Group", "Panel", "Recording", "Severity", "Site", "Thresholds", "groups"]


def groups(site: Site) -> tuple[Group, ...]:
    """Return all rules: those on the exporter first, as the others depend on it."""
    subjects = (exporter, latency, slo, active_users, app_usage, activity, parameters, agents)
    return tuple(subject.group(site) for subject in subjects)
