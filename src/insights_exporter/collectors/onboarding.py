"""Onboarding of new accounts, and accounts without use, from the data at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.snapshot import Insights, Inventory, Onboarding, User, WindowUsage

__all__ = ["INACTIVE_REASONS", "ONBOARDING_STAGES", "observe_onboarding"]

ONBOARDING_STAGES: Final = ("created", "signed_in", "created_workspace", "used_workspace")
"""Stages of a new account; each includes all earlier ones."""

INACTIVE_REASONS: Final = ("never_signed_in", "no_workspace", "unused_workspace", "stopped")

NEW_ACCOUNT_AGE: Final = timedelta(days=30)
STOPPED_AFTER: Final = timedelta(days=14)
_MONTH: Final = timedelta(days=29)
"""A window of 30 days that ends today is up to a day shorter."""


def observe_onboarding(
    inventory: Inventory, insights: Insights | None, *, now: datetime
) -> Onboarding | None:
    """Return the progress of new accounts and the accounts without use; None without a list of users.

    Suspended and service accounts are left out.
    """
    accounts = [
        user for user in inventory.users if user.status != "suspended" and not user.is_service_account
    ]
    if not accounts:
        return None
    usage = None if insights is None else _Usage.of(inventory, insights)
    never_signed_in = tuple(user.username for user in accounts if user.last_seen is None)
    new_accounts = [user for user in accounts if _is_created_since(user, now - NEW_ACCOUNT_AGE)]
    if usage is None:
        stages = {"created": len(new_accounts), "signed_in": sum(map(_has_signed_in, new_accounts))}
        return Onboarding(stages, {"never_signed_in": never_signed_in})
    reached = [usage.stage(user) for user in new_accounts]
    stages = {
        stage: sum(furthest >= index for furthest in reached) for index, stage in enumerate(ONBOARDING_STAGES)
    }
    inactive = {"never_signed_in": never_signed_in, "no_workspace": (), "unused_workspace": ()}
    candidates = [
        user
        for user in accounts
        if user.status == "active" and _has_signed_in(user) and _is_created_since(user, usage.since)
    ]
    for reason, stage in (("no_workspace", 1), ("unused_workspace", 2)):
        inactive[reason] = tuple(user.username for user in candidates if usage.stage(user) == stage)
    if usage.month is not None:
        inactive["stopped"] = tuple(
            user.username
            for user in accounts
            if user.status == "active" and usage.has_stopped(user, now - STOPPED_AFTER)
        )
    return Onboarding(stages, inactive)


def _has_signed_in(user: User) -> bool:
    return user.last_seen is not None


def _is_created_since(user: User, moment: datetime) -> bool:
    return user.created_at is not None and user.created_at >= moment


@dataclass(frozen=True, slots=True)
class _Usage:
    """Use of workspaces by username: recorded usage since ``since``, and the last use of own workspaces.

    ``month`` is the longest window if it covers 30 days.
    """

    since: datetime
    used: frozenset[str]
    month: WindowUsage | None
    last_used: dict[str, datetime | None]

    @classmethod
    def of(cls, inventory: Inventory, insights: Insights) -> _Usage | None:
        """Return the use of workspaces; None without the usage of the whole deployment."""
        windows, totals = insights.deployment.windows, insights.deployment.totals
        if not windows:
            return None
        longest = max(windows, key=lambda window: window.end - window.start)
        used = {name for window in windows for name, seconds in window.activity.items() if seconds > 0}
        since = min(window.start for window in windows)
        if totals is not None:
            used.update(name for name, seconds in totals.users.items() if seconds > 0)
            since = min(since, totals.since)
        return cls(
            since,
            frozenset(used),
            longest if longest.end - longest.start >= _MONTH else None,
            _last_used(inventory),
        )

    def stage(self, user: User) -> int:
        """Return the index of the furthest stage of an account."""
        if user.username in self.used:
            return 3
        if user.username in self.last_used:
            return 2
        return 1 if _has_signed_in(user) else 0

    def has_stopped(self, user: User, since: datetime) -> bool:
        """Return whether a user of the month has not used a workspace since then.

        The last use of the user's workspaces tells; without workspaces, when Coder last saw the user.
        """
        if self.month is None or self.month.activity.get(user.username, 0.0) <= 0:
            return False
        last_used = self.last_used.get(user.username, user.last_seen)
        return last_used is not None and last_used < since


def _last_used(inventory: Inventory) -> dict[str, datetime | None]:
    """Return when the workspaces of each owner were last used."""
    last_used: dict[str, datetime | None] = {}
    for workspace in inventory.workspaces:
        if not workspace.is_prebuild:
            previous = last_used.get(workspace.owner)
            last_used[workspace.owner] = _latest((previous, workspace.last_used))
    return last_used


def _latest(times: Iterable[datetime | None]) -> datetime | None:
    known: Sequence[datetime] = [moment for moment in times if moment is not None]
    return max(known, default=None)
