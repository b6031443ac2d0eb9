"""Learns from the database how templates and users are called."""

from __future__ import annotations

import asyncio
from typing import Final

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.row_aggregation import IdentityMap
from insights_exporter.clock import Clock
from insights_exporter.snapshot import TemplateKey

__all__ = ["NameLoader"]

USERNAME_REFRESH_INTERVAL: Final = 3600.0
"""How long users' names are held; whoever is new is asked for at once."""

_USERS_PER_YIELD: Final = 200


class NameLoader:
    """Fills ``identities``, inside a transaction of the database."""

    def __init__(self, database: Database, accumulator: Accumulator, *, clock: Clock) -> None:
        self.identities = IdentityMap(accumulator.pseudonyms, accumulator.filters)
        self._database = database
        self._accumulator = accumulator
        self._clock = clock
        self._users_loaded_at: float | None = None

    @property
    def by_user(self) -> bool:
        """Whether users are told apart at all."""
        return not self._accumulator.pseudonyms.username_policy.hides_users

    async def load(self) -> None:
        """Learn the templates that there are, and users where that was long ago."""
        templates: list[TemplateKey] = []
        for template_id, organization, name, deleted in await self._database.fetch(queries.TEMPLATES):
            key = TemplateKey(organization, name)
            if self.identities.set_template(template_id, key) and not deleted:
                templates.append(key)
        self._accumulator.templates = tuple(templates)
        now = self._clock.monotonic()
        if self._users_loaded_at is None or now - self._users_loaded_at >= USERNAME_REFRESH_INTERVAL:
            await self.load_users()
            self._users_loaded_at = now

    async def load_users(self) -> None:
        """Learn all users."""
        self.identities.has_unknown_users = False
        if self.by_user:
            users = await self._database.fetch(queries.USERS)
            for start in range(0, len(users), _USERS_PER_YIELD):
                for user_id, username in users[start : start + _USERS_PER_YIELD]:
                    self.identities.set_user(user_id, username)
                # Ten thousand at a time would hold up scrapes.
                await asyncio.sleep(0)
