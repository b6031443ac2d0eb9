"""Groups of users: those of Coder, which need a Premium licence, and the teams of the teams file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from insights_exporter.coder import models
from insights_exporter.collectors.base import CachedList, CoderApi, ErrorReporter
from insights_exporter.config.settings import PollSettings
from insights_exporter.config.teams import Team
from insights_exporter.errors import Forbidden, NotFoundOrForbidden, UnsupportedEndpoint
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import Group, User

__all__ = ["GroupCollector", "GroupState"]

logger = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class GroupState:
    """State that survives a reload: the groups of Coder, and whether Coder refused the last request."""

    groups: CachedList[Group] = field(default_factory=CachedList[Group])
    is_refused: bool = False


class GroupCollector:
    """Reads the groups of Coder once in ``poll.refresh_interval`` and adds the teams."""

    def __init__(
        self, *, poll: PollSettings, filters: Filters, teams: Sequence[Team], state: GroupState
    ) -> None:
        self._poll = poll
        self._filters = filters
        self._teams = teams
        self._state = state
        self._teams_of: tuple[Sequence[User], tuple[Group, ...]] = ((), ())
        """The users whose teams were last determined, and these teams."""

    async def collect(
        self, coder: CoderApi, users: Sequence[User], *, now: datetime, reporter: ErrorReporter
    ) -> Sequence[Group]:
        """Return groups and teams; after an error the last groups stay until ``max_staleness``."""

        async def fetch() -> Sequence[Group]:
            try:
                rows = await coder.groups()
            except (Forbidden, NotFoundOrForbidden, UnsupportedEndpoint) as error:
                if not self._state.is_refused:
                    remedy = "read them with a Premium licence, or map users to teams with teams.file"
                    logger.info("groups not available", reason=error.reason, remedy=remedy)
                self._state.is_refused = True
                return ()
            self._state.is_refused = False
            return tuple(_groups(rows, self._filters))

        groups = await self._state.groups.refresh_hourly(
            fetch, now, reporter, resource="groups", poll=self._poll
        )
        teams = self._match_teams(users)
        return (*groups, *teams) if teams else groups

    def _match_teams(self, users: Sequence[User]) -> tuple[Group, ...]:
        """Return the teams with their members; the same ones while the list of users is unchanged."""
        last_users, teams = self._teams_of
        if users is not last_users:
            teams = tuple(
                Group(
                    "",
                    team.name,
                    {user.id: user.username for user in users if team.has_member(user.username)},
                )
                for team in self._teams
            )
            self._teams_of = users, teams
        return teams


def _groups(rows: Iterable[models.Group], filters: Filters) -> Iterable[Group]:
    """Yield the exported groups with their exported members.

    A group has its display name; display names that several groups of an organization share are replaced
    with the unique names.
    """
    rows = [row for row in rows if filters.allows_organization(row.organization_name or row.organization_id)]
    display_names = Counter((row.organization_id, row.display_name) for row in rows)
    for row in rows:
        is_unique = display_names[row.organization_id, row.display_name] == 1
        yield Group(
            organization_name=row.organization_name or row.organization_id,
            name=row.display_name if row.display_name and is_unique else row.name,
            members={
                member.id: member.username for member in row.members if filters.allows_user(member.username)
            },
            hidden_members=max(0, row.total_member_count - len(row.members)),
            quota_allowance=row.quota_allowance,
        )
