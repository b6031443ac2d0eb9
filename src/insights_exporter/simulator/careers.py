"""Users of a generated world who joined or left recently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from insights_exporter.simulator.model import User

__all__ = ["Career", "with_careers"]

_STAGES: Final = ("created", "signed in", "has a workspace", "works")
_JOINED_DAYS_AGO: Final = (9, 16, 5, 23)
_LEFT_DAYS_AGO: Final = 20


@dataclass(frozen=True, slots=True)
class Career:
    """How far a new user got, or when a user stopped.

    A user who does not sign in has no workspace, and one without a workspace does not work.
    """

    joined_at: datetime
    signs_in: bool = True
    has_workspace: bool = True
    works: bool = True
    left_on: date | None = None

    def works_on(self, day: date) -> bool:
        """Return whether the user may work on a day."""
        has_left = self.left_on is not None and day >= self.left_on
        return self.works and day >= self.joined_at.date() and not has_left


def with_careers(
    users: Sequence[User], today: date, *, joined: int, left: int
) -> tuple[tuple[User, ...], Mapping[int, Career]]:
    """Return users of whom the last ``joined`` are new, and the careers by index.

    The new users reach one stage each, in turns. The first ``left`` active users stopped three weeks ago.
    """
    changed = list(users)
    careers: dict[int, Career] = {}
    first_new = max(0, len(users) - joined)
    for number, index in enumerate(range(first_new, len(users))):
        stage = number % len(_STAGES)
        joined_on = today - timedelta(days=_JOINED_DAYS_AGO[stage])
        joined_at = datetime.combine(joined_on, time(9, 30), UTC)
        careers[index] = Career(joined_at, signs_in=stage > 0, has_workspace=stage > 1, works=stage > 2)
        # Coder creates accounts as dormant ones; the first sign-in activates them.
        status = "active" if stage else "dormant"
        changed[index] = replace(users[index], created_at=joined_at, status=status)
    active = [index for index, user in enumerate(users[:first_new]) if user.status == "active"]
    for index in active[1 : 1 + left]:
        left_on = today - timedelta(days=_LEFT_DAYS_AGO)
        careers[index] = Career(users[index].created_at, left_on=left_on)
    return tuple(changed), careers
