"""The data of a report as the collector returns it, before the privacy rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from insights_exporter.report.period import ComparedPeriods, Week
from insights_exporter.snapshot import Deployment, Insights, Snapshot, Template

__all__ = ["CURRENT", "PREVIOUS", "ReportData", "UserChanges"]

CURRENT: Final = "period"
"""Name of the window of the report's period."""

PREVIOUS: Final = "previous"
"""Name of the window of the period before."""


@dataclass(frozen=True, slots=True)
class UserChanges:
    """Users of a period by their usage before it; None is unknown."""

    new: int | None = None
    """Users without earlier usage."""
    previous_new: int | None = None
    """Users of the period before without earlier usage."""
    lost: int | None = None
    """Users of the period before without usage in the period."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """All data of a report.

    ``snapshot`` has the windows CURRENT and PREVIOUS. The days of a usage are those of the period, the weeks
    are those of ``weeks``; both begin with the last one.
    """

    periods: ComparedPeriods
    snapshot: Snapshot
    weeks: Sequence[Week] = ()
    previous_days: Sequence[int | None] = ()
    """Active users by day of the period before."""
    organization_users: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Distinct users by organization and window."""
    user_changes: UserChanges = UserChanges()
    idle_accounts: Sequence[str] | None = None
    """Active accounts without usage in the period; None if accounts cannot be listed."""
    first_day: date | None = None
    """The first day for which Coder can have data."""
    organizations: Sequence[str] = ()
    """The organizations of the whole report, if the account cannot read the deployment; empty for all."""
    warnings: Sequence[str] = ()

    @property
    def insights(self) -> Insights:
        """The usage of the deployment and of templates."""
        assert self.snapshot.insights is not None  # noqa: S101  # The collector sets all parts.
        return self.snapshot.insights.value

    @property
    def templates(self) -> Sequence[Template]:
        """All templates, also those without use."""
        assert self.snapshot.inventory is not None  # noqa: S101  # As above.
        return self.snapshot.inventory.value.templates

    @property
    def deployment(self) -> Deployment:
        """Version, accounts and licence at the time of the report."""
        assert self.snapshot.deployment is not None  # noqa: S101  # As above.
        return self.snapshot.deployment.value

    @property
    def has_previous(self) -> bool:
        """Whether Coder can have data of the whole period before."""
        return self.first_day is None or self.first_day <= self.periods.previous.first_day
