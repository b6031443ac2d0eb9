"""What exists: templates with their declared parameters, users, workspaces with agents and apps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Generic, TypeVar

from insights_exporter.coder import responses
from insights_exporter.coder.responses import seen
from insights_exporter.collectors.cadence import is_due
from insights_exporter.collectors.collected import Collected
from insights_exporter.collectors.errands import run_errands
from insights_exporter.collectors.faults import Faults, KnownFaults
from insights_exporter.collectors.source import Coder
from insights_exporter.errors import AuthError, DeadlineExceeded, ExporterError, SecretError
from insights_exporter.filters import Filters
from insights_exporter.settings import PollSettings
from insights_exporter.snapshot import (
    Account,
    Agent,
    App,
    BuildDuration,
    Inventory,
    Parameter,
    ParameterOption,
    Template,
    TemplateKey,
    Workspace,
)
from insights_exporter.telemetry import Telemetry

__all__ = ["InventoryCollector", "InventoryState"]

T = TypeVar("T")

CHUNK = 250
"""Workspaces brought into our form between two turns of others."""


@dataclass(slots=True)
class Part(Generic[T]):
    """A list as it was last read."""

    rows: Sequence[T] = ()
    read_at: datetime | None = None
    good_at: datetime | None = None


@dataclass(slots=True)
class InventoryState:
    """What must outlive a poll: lists, the parameters of each version, and what was told."""

    users: Part[Account] = field(default_factory=Part[Account])
    workspaces: Part[Workspace] = field(default_factory=Part[Workspace])
    versions: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)
    """Declared parameters by version id; a version never changes."""
    declared: dict[str, str] = field(default_factory=dict)
    """The newest version by template id whose parameters are known."""
    known: KnownFaults = field(default_factory=KnownFaults)


class InventoryCollector:
    """Asks what exists."""

    name = "inventory"

    def __init__(
        self,
        *,
        poll: PollSettings,
        filters: Filters,
        telemetry: Telemetry,
        state: InventoryState | None = None,
    ) -> None:
        self._poll = poll
        self._filters = filters
        self._telemetry = telemetry
        self.state = state if state is not None else InventoryState()

    async def collect(self, coder: Coder, *, now: datetime) -> Collected[Inventory]:
        """Return what the token may see of what exists.

        Raises an ExporterError where the templates could not be read.
        """
        faults = Faults(self.name, telemetry=self._telemetry, known=self.state.known)
        try:
            listed = self._chosen(await coder.templates())
            await self._declare(coder, listed, faults)
            templates = tuple(self._template(one, key) for key, one in listed.items())
            users = await self._users(coder, now, faults)
            workspaces = await self._workspaces(coder, now, faults, listed)
        finally:
            faults.settle()
        return Collected(Inventory(templates, workspaces, users), faults.count)

    # Templates

    def _chosen(self, rows: Iterable[responses.Template]) -> dict[TemplateKey, responses.Template]:
        """Return the templates that are exported; of two of one name only the newer."""
        chosen: dict[TemplateKey, responses.Template] = {}
        for row in sorted(rows, key=_age, reverse=True):
            key = TemplateKey(row.organization_name or row.organization_id, row.name)
            if key not in chosen and self._filters.admits_template(key):
                chosen[key] = row
        return dict(sorted(chosen.items()))

    async def _declare(
        self, coder: Coder, listed: dict[TemplateKey, responses.Template], faults: Faults
    ) -> None:
        """Learn the parameters of versions that are new."""
        versions, declared = self.state.versions, self.state.declared
        hopeless: list[ExporterError] = []

        async def learn(key: TemplateKey, version: str) -> None:
            if hopeless:
                return
            try:
                rows = await coder.rich_parameters(version)
            except (AuthError, DeadlineExceeded, SecretError) as error:
                hopeless.append(error)
            except ExporterError as error:
                faults.note(error, subject="/".join(key))
            else:
                versions[version] = _parameters(rows)

        new = {
            one.active_version_id: key
            for key, one in listed.items()
            if one.active_version_id and one.active_version_id not in versions
        }
        await run_errands(partial(learn, key, version) for version, key in new.items())
        for error in hopeless[:1]:
            faults.note(error)
        declared.update(
            (one.id, one.active_version_id) for one in listed.values() if one.active_version_id in versions
        )
        ids = {one.id for one in listed.values()}
        self.state.declared = {one: version for one, version in declared.items() if one in ids}
        kept = set(self.state.declared.values())
        self.state.versions = {version: found for version, found in versions.items() if version in kept}

    def _template(self, row: responses.Template, key: TemplateKey) -> Template:
        return Template(
            id=row.id,
            key=key,
            display_name=row.display_name,
            icon=row.icon,
            created_at=_utc(seen(row.created_at)),
            deprecated=row.deprecated,
            build_durations={
                transition: BuildDuration(time.p50_seconds, time.p95_seconds)
                for transition, time in row.build_time_stats.items()
            },
            parameters=self.state.versions.get(self.state.declared.get(row.id, ""), ()),
        )

    # Users and workspaces

    async def _users(self, coder: Coder, now: datetime, faults: Faults) -> Sequence[Account]:
        part = self.state.users
        every = self._poll.refresh_interval
        if part.read_at is not None and not is_due("users", last=part.read_at, now=now, every=every):
            part.good_at = now
            return part.rows

        async def read() -> Sequence[Account]:
            return tuple(
                _account(row) for row in await coder.users() if self._filters.admits_user(row.username)
            )

        return await self._part(part, read, now, faults, subject="users")

    async def _workspaces(
        self,
        coder: Coder,
        now: datetime,
        faults: Faults,
        listed: dict[TemplateKey, responses.Template],
    ) -> Sequence[Workspace]:
        keys = {one.id: key for key, one in listed.items()}

        async def read() -> Sequence[Workspace]:
            rows = await coder.workspaces()
            server = str(coder.version) if coder.version is not None else ""
            found = []
            for place, row in enumerate(rows):
                if place % CHUNK == 0:
                    await asyncio.sleep(0)
                organization = row.organization_name or row.organization_id
                key = keys.get(row.template_id) or TemplateKey(organization, row.template_name)
                if self._filters.admits_template(key):
                    found.append(_workspace(row, key, server))
            return tuple(found)

        return await self._part(self.state.workspaces, read, now, faults, subject="workspaces")

    async def _part(
        self,
        part: Part[T],
        read: Callable[[], Awaitable[Sequence[T]]],
        now: datetime,
        faults: Faults,
        *,
        subject: str,
    ) -> Sequence[T]:
        """Return a list; the last one, while it is not too old, where it cannot be read."""
        try:
            rows = await read()
        except ExporterError as error:
            faults.note(error, subject=subject)
            if part.good_at is None or (now - part.good_at).total_seconds() > self._poll.max_staleness:
                part.rows, part.read_at, part.good_at = (), None, None
        else:
            part.rows = part.rows if part.rows == rows else rows
            part.read_at = part.good_at = now
        return part.rows


def _age(row: responses.Template) -> tuple[float, str]:
    created = seen(row.created_at)
    return (created.timestamp() if created is not None else 0.0, row.id)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _parameters(rows: Iterable[responses.RichParameter]) -> tuple[Parameter, ...]:
    """Return each parameter once, with all options that any declaration of it has."""
    found: dict[str, Parameter] = {}
    for row in rows:
        known = found.get(row.name)
        options = {one.value: one for one in known.options} if known is not None else {}
        for option in row.options:
            options.setdefault(option.value, ParameterOption(option.value, option.name, option.icon))
        first = known or Parameter(row.name, row.type, row.display_name, row.default_value)
        found[row.name] = Parameter(
            first.name, first.type, first.display_name, first.default, tuple(options.values())
        )
    return tuple(found.values())


def _account(row: responses.User) -> Account:
    return Account(
        id=row.id,
        username=row.username,
        display_name=row.name,
        avatar_url=row.avatar_url,
        status=row.status,
        last_seen=_utc(row.last_seen),
    )


def _workspace(row: responses.Workspace, key: TemplateKey, server: str) -> Workspace:
    return Workspace(
        id=row.id,
        name=row.name,
        owner=row.owner_name,
        key=key,
        status="dormant" if seen(row.dormant_at) is not None else row.latest_build.status,
        outdated=row.outdated,
        last_used=_utc(row.last_used),
        agents=tuple(_agent(agent, server) for agent in row.agents),
    )


def _agent(row: responses.Agent, server: str) -> Agent:
    relays = ((name, relay.seconds) for name, relay in sorted(row.latency.items()) if relay.preferred)
    relay, round_trip = next(relays, ("", None))
    return Agent(
        id=row.id,
        name=row.name,
        status=row.status,
        version=row.version,
        outdated=bool(server and row.version) and row.version != server,
        relay=relay,
        relay_latency=round_trip,
        apps=tuple(App(app.slug, app.display_name, app.icon, app.health, app.external) for app in row.apps),
    )
