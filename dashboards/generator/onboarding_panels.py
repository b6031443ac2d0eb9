"""Panels of onboarding: new accounts, accounts without use, and users who stopped."""

from __future__ import annotations

from typing import Final

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo, bar_gauge_panel, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_USERS
from dashboards.generator.tables import Column, table_panel
from dashboards.generator.targets import instant_query, range_query
from dashboards.generator.theme import nothing_found
from dashboards.generator.user_panels import LAST_SEEN_COLUMN, USER_COLUMN, last_seen
from insights_exporter.metrics import catalogue

__all__ = ["accounts_without_use", "inactive_users", "new_accounts"]

_STAGES: Final = {
    "created": "Account created",
    "signed_in": "Signed in",
    "created_workspace": "Created a workspace",
    "used_workspace": "Used a workspace",
}
_REASONS: Final = {
    "never_signed_in": "Never signed in",
    "no_workspace": "No workspace yet",
    "unused_workspace": "Workspace never used",
    "stopped": "Stopped 14 days ago or earlier",
}
_NO_ACCOUNTS: Final = (
    "No accounts: the token may not list users (role auditor or template-admin), or see Data status at the"
    " top"
)


def new_accounts() -> Panel:
    """Return how many accounts of the last 30 days reached each stage."""
    targets = [
        instant_query(QUERY.latest(catalogue.ONBOARDING_USERS, stage=stage).max(), text)
        for stage, text in _STAGES.items()
    ]
    description = (
        "Accounts that were created in the last 30 days, and how many of them signed in, created a workspace "
        "and used one. A large step shows where new users stop."
    )
    panel_info = PanelInfo(
        title="New accounts, 30 days", description=description, unit=units.USERS, no_value=_NO_ACCOUNTS
    )
    return bar_gauge_panel(panel_info, targets)


def accounts_without_use() -> Panel:
    """Return accounts without use over time by reason."""
    targets = [
        range_query(QUERY.latest(catalogue.INACTIVE_USERS, reason=reason).max(), text)
        for reason, text in _REASONS.items()
    ]
    description = (
        "Accounts that never signed in, new ones without a workspace or with an unused one, and users of the "
        "last 30 days who have not used a workspace for 14 days. User Support has the names."
    )
    panel_info = PanelInfo(
        title="Accounts without use", description=description, unit=units.USERS, no_value=_NO_ACCOUNTS
    )
    return time_series_panel(panel_info, targets, fill_opacity=0)


def inactive_users() -> Panel:
    """Return the accounts without use by name, with the reason."""
    inactive = QUERY.latest(catalogue.USER_INACTIVE_INFO, username=SELECTED_USERS).max("username", "reason")
    columns = [
        USER_COLUMN,
        Column(source="reason", title="Reason", value_mappings=_REASONS),
        LAST_SEEN_COLUMN,
    ]
    description = (
        "Accounts that never signed in, new ones without a workspace or with an unused one, and users of the "
        "last 30 days who have not used a workspace for 14 days; when Coder last saw the user."
    )
    panel_info = PanelInfo(
        title="New and lost users",
        description=description,
        unit=units.USERS,
        no_value=nothing_found("No such user, or user names are switched off (privacy.users)"),
    )
    queries = [inactive, last_seen().and_on(inactive, "username")]
    return table_panel(panel_info, queries, columns, sort="Reason", descending=False)
