"""Cases of alerts on workspaces."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics import catalogue
from tests.bundle.alerts.cases.series import TEMPLATE, FiringCase, Series, series

__all__ = ["CASES"]

_WEEK_BOUND: Final = "604800.0"


def _idle_buckets(total: str, used_within_a_week: str, *, le: str = _WEEK_BOUND) -> Series:
    family = catalogue.WORKSPACE_IDLE
    return series(family, total, suffix="_bucket", le="+Inf") | series(
        family, used_within_a_week, suffix="_bucket", le=le
    )


def _workspaces(values: str, status: str) -> Series:
    return series(catalogue.WORKSPACES, values, status=status)


def _members_at_budget(values: str, group: str) -> Series:
    return series(catalogue.GROUP_MEMBERS_AT_BUDGET, values, group=group)


CASES: Final = (
    FiringCase(
        alert="IdleWorkspacesGrowing",
        # 20 running workspaces; 4 idle ones become 8, and later 2.
        firing_series=_idle_buckets("20x400", "16x100 12x150 18x50"),
        # The same share as a week before.
        near_miss_series=_idle_buckets("20x400", "12x400"),
        pending_at="190h",
        firing_at="200h",
        resolved_at="260h",
        description="40% of the running workspaces had no use for 7 days, and the share grows.",
        step="1h",
    ),
    FiringCase(
        alert="QuotaUsedUp",
        # Groups overlap: the members of a team are members of the organization, too.
        firing_series=(
            _members_at_budget("4x100 2x100", "Everyone") | _members_at_budget("3x100 1x100", "Payments")
        ),
        near_miss_series=_members_at_budget("2x200", "Everyone") | _members_at_budget("2x200", "Payments"),
        pending_at="50m",
        firing_at="70m",
        resolved_at="110m",
        labels={"organization_name": "acme"},
        url_variables="&var-organizations=acme",
        description=(
            "Organization acme: 4 members of a group have workspaces that cost as much as their budget or"
            " more. They cannot start further workspaces."
        ),
    ),
    FiringCase(
        alert="BuildsFailing",
        firing_series=_workspaces("3x50 0x50", "failed") | _workspaces("7x100", "running"),
        near_miss_series=_workspaces("2x100", "failed") | _workspaces("2x100", "running"),
        pending_at="25m",
        firing_at="40m",
        resolved_at="55m",
        labels=TEMPLATE,
        url_variables="&var-organizations=acme&var-templates=go-dev",
        description="Template go-dev of acme: the latest build of 30% of the workspaces failed.",
    ),
)
