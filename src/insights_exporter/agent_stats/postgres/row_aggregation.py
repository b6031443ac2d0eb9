"""Aggregation of result lines: ids become names, and lines become counts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from insights_exporter.agent_stats.accumulator import Accumulator, CurrentSessions, PseudonymMap
from insights_exporter.agent_stats.aggregate import (
    APP_FAMILIES,
    BUCKET_COUNT,
    Aggregate,
    AppKey,
    get_or_create_counts,
    sum_sessions,
)
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.queries import TableSchema
from insights_exporter.app_families import app_family, client_name
from insights_exporter.clock import Clock
from insights_exporter.interpreter_tuning import yielding
from insights_exporter.metrics.packed_counts import BITS_PER_COUNT, unpack_counts
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import TemplateKey

__all__ = [
    "GroupIndex",
    "IdentityMap",
    "NameLoader",
    "RowAggregator",
    "SessionColumn",
    "parse_current_sessions",
]

_NULL: Final = "\\N"
_MAX_CACHED_ENTRIES: Final = 50_000
"""Entries after which a cache is cleared."""

_LINES_PER_YIELD: Final = 40
"""Lines per chunk: about 0.5 ms of CPU time, 2 ms on a machine with a busy database."""

_YIELD_SECONDS: Final = 0.001
"""Seconds of sleep between chunks; a scrape needs the event loop several times."""


class IdentityMap:
    """Template keys and display names by id; None for filtered ones.

    A template or user without a name is counted under its id.
    """

    def __init__(self, pseudonyms: PseudonymMap, filters: Filters) -> None:
        self._pseudonyms = pseudonyms
        self._filters = filters
        self._templates: dict[str, TemplateKey | None] = {}
        self._users: dict[str, str | None] = {}
        self.has_unknown_users = False
        """Whether a report had a user id without a name."""
        self.rename_count = 0
        """Number of changed names, which invalidate caches."""

    def set_template(self, template_id: str, key: TemplateKey) -> bool:
        """Set the name of a template and return whether it is exported."""
        admitted = self._filters.allows_template(key)
        exported_key = key if admitted else None
        self.rename_count += self._templates.get(template_id, exported_key) != exported_key
        self._templates[template_id] = exported_key
        return admitted

    def set_user(self, user_id: str, username: str) -> None:
        """Set the name of a user."""
        display_name = self._pseudonyms.set_username(user_id, username)
        self.rename_count += self._users.get(user_id, display_name) != display_name
        self._users[user_id] = display_name

    def template(self, template_id: str) -> TemplateKey | None:
        """Return the key of a template; None if it is filtered."""
        if template_id not in self._templates:
            self.set_template(template_id, TemplateKey("", template_id))
        return self._templates[template_id]

    def user(self, user_id: str) -> str | None:
        """Return the display name of a user; None if the user is filtered."""
        if user_id == _NULL:
            return None
        if user_id not in self._users:
            self.has_unknown_users = True
            self._users[user_id] = self._pseudonyms.display_name(user_id)
        return self._users[user_id]


class SessionColumn:
    """Parser of the session column, with a cache: most values occur often.

    ``by_client`` counts by client program in place of app family, where the schema has clients.
    """

    def __init__(self, schema: TableSchema, *, by_client: bool = False) -> None:
        self._schema = schema
        self._app_of = client_name if by_client else app_family
        self._cache: dict[str, Mapping[str, int]] = {}

    def parse_apps(self, text: str) -> Mapping[str, int]:
        """Return the app families of a group of reports; counts are 1 in the older schema."""
        sessions = self._cache.get(text)
        if sessions is None:
            if len(self._cache) >= _MAX_CACHED_ENTRIES:
                self._cache.clear()
            sessions = self._cache[text] = self._parse(text)
        return sessions

    def _parse(self, text: str) -> Mapping[str, int]:
        if text == _NULL:
            return {}
        if not self._schema.has_session_counts:
            bitmask = int(text)
            return {app: 1 for bit, app in enumerate(APP_FAMILIES) if bitmask >> bit & 1}
        # COPY escapes a backslash with a backslash.
        counts = msgspec.json.decode(text.replace("\\\\", "\\"))
        return sum_sessions(
            (
                (client, session_count)
                for client, session_count in counts.items()
                if isinstance(session_count, int)
            ),
            self._app_of,
        )

    def session_counts(self, text: str) -> Mapping[str, int]:
        """Return the open sessions by app family, for a line of ``current_sessions_query``."""
        if self._schema.has_session_counts:
            return self.parse_apps(text)
        counts = [int(item) for item in text.strip("{}").split(",")]
        return {app: count for app, count in zip(APP_FAMILIES, counts, strict=True) if count > 0}


class _Group(NamedTuple):
    """The keys under which a group of reports is counted."""

    template: TemplateKey
    user: str | None
    apps: tuple[AppKey, ...]


class GroupIndex:
    """Keys of groups of reports, with a cache: most groups recur at each reading."""

    def __init__(self, identities: IdentityMap, session_column: SessionColumn) -> None:
        self._identities = identities
        self._session_column = session_column
        self._cache: dict[str, _Group | None] = {}
        self._rename_count = identities.rename_count
        self.observations = _ObservationCache()

    def invalidate_if_renamed(self) -> None:
        """Clear the cache after a rename."""
        if self._rename_count != self._identities.rename_count:
            self._rename_count = self._identities.rename_count
            self._cache.clear()

    def lookup(self, columns: str) -> _Group | None:
        """Return the keys of a group by its first three columns; None if its template is filtered."""
        try:
            return self._cache[columns]
        except KeyError:
            if len(self._cache) >= _MAX_CACHED_ENTRIES:
                self._cache.clear()
            group = self._cache[columns] = self._build_group(*columns.split("\t"))
            return group

    def _build_group(self, template_id: str, user_id: str, text: str) -> _Group | None:
        template = self._identities.template(template_id)
        if template is None:
            return None
        apps = self._session_column.parse_apps(text)
        user = self._identities.user(user_id) if apps else None
        app_keys = tuple([(*template, app) for app in apps])
        return _Group(template, user, app_keys)


class _ObservationCache(dict[str, tuple[int, dict[int, int]]]):
    """Parsed observation columns: packed counts, and counts by exponential bucket.

    The texts are short and recur, so each is parsed once.
    """

    def __missing__(self, text: str) -> tuple[int, dict[int, int]]:
        packed_counts = 0
        exponential_buckets: dict[int, int] = {}
        for token in text.split(" "):
            bucket, count, *indexes = map(int, token.split(","))
            packed_counts += count << BITS_PER_COUNT * bucket
            for index in indexes:
                exponential_buckets[index] = exponential_buckets.get(index, 0) + count
        if len(self) >= _MAX_CACHED_ENTRIES:
            self.clear()
        self[text] = observation = packed_counts, exponential_buckets
        return observation


class RowAggregator:
    """Aggregates lines of ``aggregate_query``; ``aggregate`` is complete after ``finish``."""

    def __init__(self, group_index: GroupIndex) -> None:
        self.aggregate = Aggregate()
        self.row_count = 0
        group_index.invalidate_if_renamed()
        self._group_index = group_index
        self._packed_counts = 0
        self._traffic: defaultdict[TemplateKey, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._minute_masks: defaultdict[tuple[str, AppKey], dict[str, int]] = defaultdict(dict)

    @property
    def observation_count(self) -> int:
        """Number of observations."""
        return sum(unpack_counts(self._packed_counts, BUCKET_COUNT))

    async def add_lines(self, lines: list[str]) -> None:
        """Add lines, and yield to the event loop between chunks."""
        for start in range(0, len(lines), _LINES_PER_YIELD):
            self._add_lines(lines[start : start + _LINES_PER_YIELD])
            await asyncio.sleep(_YIELD_SECONDS)

    def _add_lines(self, lines: Iterable[str]) -> None:
        lookup, traffic, minute_masks = self._group_index.lookup, self._traffic, self._minute_masks
        for line in lines:
            columns, chunk, mask, report_count, received, transmitted, latency, observations = line.rsplit(
                "\t", 7
            )
            self.row_count += int(report_count)
            group = lookup(columns)
            if group is None:
                continue
            byte_totals = traffic[group.template]
            byte_totals[0] += float(received)
            byte_totals[1] += float(transmitted)
            if observations != _NULL:
                self._observe(group, observations, float(latency) / 1000)
            if (user := group.user) is not None:
                for app in group.apps:
                    masks = minute_masks[chunk, app]
                    masks[user] = masks.get(user, 0) | int(mask)

    def _observe(self, group: _Group, observations: str, seconds: float) -> None:
        packed_counts, exponential_buckets = self._group_index.observations[observations]
        self._packed_counts += packed_counts
        for app in group.apps:
            get_or_create_counts(self.aggregate.app_latency, app).observe(
                packed_counts, seconds, exponential_buckets
            )
        if group.user is not None:
            users = self.aggregate.latency.setdefault(group.template, {})
            get_or_create_counts(users, group.user).observe(packed_counts, seconds, exponential_buckets)

    def finish(self) -> Aggregate:
        """Add bytes and session minutes, each minute once per user and app, and return the aggregate."""
        for template, (received, transmitted) in self._traffic.items():
            self.aggregate.add_traffic(template, received=int(received), transmitted=int(transmitted))
        self._traffic.clear()
        for (_, app), masks in self._minute_masks.items():
            seconds = self.aggregate.session_seconds.setdefault(app, {})
            for user, mask in yielding(masks.items()):
                seconds[user] = seconds.get(user, 0.0) + 60.0 * mask.bit_count()
        self._minute_masks.clear()
        return self.aggregate


def parse_current_sessions(
    lines: list[str], identities: IdentityMap, session_column: SessionColumn
) -> CurrentSessions:
    """Return the current sessions from the lines of ``current_sessions_query``.

    Several rows of clients for one agent count once, with the maximum.
    """
    current = CurrentSessions()
    client_sessions: dict[tuple[str, TemplateKey, str], int] = {}
    for line in lines:
        template_id, agent_id, text, connections, row_count = line.split("\t")
        template = identities.template(template_id)
        if template is None:
            continue
        for app, count in session_column.session_counts(text).items():
            if agent_id == _NULL:
                key = (*template, app)
                current.sessions[key] = current.sessions.get(key, 0) + count * int(row_count)
            else:
                client_key = (agent_id, template, app)
                client_sessions[client_key] = max(client_sessions.get(client_key, 0), count)
        current.connections[template] = current.connections.get(template, 0) + _int_or_zero(connections)
    for (_, template, app), count in client_sessions.items():
        key = (*template, app)
        current.sessions[key] = current.sessions.get(key, 0) + count
    return current


def _int_or_zero(text: str) -> int:
    return 0 if text == _NULL else int(text)


USERNAME_REFRESH_INTERVAL: Final = 300.0
"""Seconds between two loads of all usernames, which detect renames; an unknown user causes one at once."""

_USERS_PER_YIELD: Final = 200
"""Users between two yields to the event loop."""


class NameLoader:
    """Loads names into ``identities``; requires an open transaction."""

    def __init__(self, database: Database, accumulator: Accumulator, *, clock: Clock) -> None:
        self.identities = IdentityMap(accumulator.pseudonyms, accumulator.filters)
        self._database = database
        self._accumulator = accumulator
        self._clock = clock
        self._users_loaded_at: float | None = None

    @property
    def by_user(self) -> bool:
        """Whether reports are counted by user."""
        return not self._accumulator.pseudonyms.username_policy.hides_users

    async def load(self) -> None:
        """Load all templates, and all users if the refresh interval has passed."""
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
        """Load all users and apply renames."""
        self.identities.has_unknown_users = False
        if self.by_user:
            users = await self._database.fetch(queries.USERS)
            for start in range(0, len(users), _USERS_PER_YIELD):
                for user_id, username in users[start : start + _USERS_PER_YIELD]:
                    self.identities.set_user(user_id, username)
                # Thousands of users at once would block scrapes.
                await asyncio.sleep(0)
            self._accumulator.apply_renames()
