"""Learns from the database how templates and users are called."""

from __future__ import annotations

import asyncio
from typing import Final

from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats import queries
from insights_exporter.collectors.agent_stats.counting import Identities
from insights_exporter.collectors.agent_stats.database import Database
from insights_exporter.collectors.agent_stats.ledger import Ledger
from insights_exporter.snapshot import TemplateKey

__all__ = ["Naming"]

USERS_HOLD: Final = 3600.0
"""How long users' names are held; whoever is new is asked for at once."""

_TURN: Final = 200


class Naming:
    """Fills ``identities``, inside a transaction of the database."""

    def __init__(self, database: Database, ledger: Ledger, *, clock: Clock) -> None:
        self.identities = Identities(ledger.people, ledger.filters)
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._users_read: float | None = None

    @property
    def by_user(self) -> bool:
        """Whether users are told apart at all."""
        return not self._ledger.people.redaction.off

    async def learn(self) -> None:
        """Learn the templates that there are, and users where that was long ago."""
        existing: list[TemplateKey] = []
        for number, organization, name, deleted in await self._database.rows(queries.TEMPLATES):
            key = TemplateKey(organization, name)
            if self.identities.template_named(number, key) and not deleted:
                existing.append(key)
        self._ledger.templates = tuple(existing)
        now = self._clock.monotonic()
        if self._users_read is None or now - self._users_read >= USERS_HOLD:
            await self.learn_users()
            self._users_read = now

    async def learn_users(self) -> None:
        """Learn all users."""
        self.identities.strangers = False
        if self.by_user:
            users = await self._database.rows(queries.USERS)
            for begin in range(0, len(users), _TURN):
                for number, username in users[begin : begin + _TURN]:
                    self.identities.user_named(number, username)
                # Ten thousand at a time would hold up scrapes.
                await asyncio.sleep(0)
