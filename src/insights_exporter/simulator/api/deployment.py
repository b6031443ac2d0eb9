"""The simulated deployment: a world with accounts, options and injected faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zlib import crc32

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.errors import not_found
from insights_exporter.simulator.api.fault_injection import FaultInjector
from insights_exporter.simulator.api.query_params import QueryParams
from insights_exporter.simulator.api.rate_limiter import RateLimiter
from insights_exporter.simulator.api.version import Capability, SimulatedVersion
from insights_exporter.simulator.coderd.metrics import CoderdMetrics
from insights_exporter.simulator.model import Template
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.simulator.world import World

__all__ = ["RequestContext", "SimulatedDeployment", "format_timestamp"]


@dataclass(slots=True)
class SimulatedDeployment:
    """The state that the routes share; tests change ``accounts``, ``faults`` and ``world`` while it runs.

    ``request_counts`` counts requests by route. ``deleted_template_ids`` are templates deleted meanwhile.
    """

    world: World
    accounts: Accounts
    now: Callable[[], datetime]
    options: ApiOptions = field(default_factory=ApiOptions)
    faults: FaultInjector = field(default_factory=FaultInjector)
    deleted_template_ids: set[str] = field(default_factory=set)
    request_counts: dict[str, int] = field(default_factory=dict)
    release: SimulatedVersion = field(init=False)
    rate_limiter: RateLimiter = field(init=False)
    _metrics: CoderdMetrics | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Validate the version."""
        self.release = SimulatedVersion(self.options.version)
        self.rate_limiter = RateLimiter(self.options.rate_limit, self.now)

    @property
    def metrics(self) -> CoderdMetrics:
        """The metrics of coderd; its process started ``uptime`` before the first access."""
        if self._metrics is None:
            options = self.options.metrics
            started = self.now() - options.uptime
            has_organization_label = self.supports(Capability.ORGANIZATION_LABEL)
            has_build_durations = self.supports(Capability.RECENT_FIELDS)
            self._metrics = CoderdMetrics(
                self.world, started, options, has_organization_label, has_build_durations
            )
        return self._metrics

    def supports(self, capability: Capability) -> bool:
        """Return whether the simulated version has the feature."""
        return self.release.supports(capability)

    def template(self, template_id: str) -> Template | None:
        """Return a template that is not deleted."""
        candidates = (one for one in self.world.templates if one.id == template_id.lower())
        return next((one for one in candidates if not self.is_deleted(one)), None)

    def user_id(self, username: str) -> str:
        """Return the id of a user; accounts outside the world have an id derived from their name."""
        known = (*self.world.users, *self.world.service_accounts)
        matching = (user.id for user in known if user.username == username and not user.deleted)
        return next(matching, f"4fffffff-0000-4000-8000-{crc32(username.encode()):012x}")

    def rename_user(self, username: str, new_username: str) -> None:
        """Rename a user, as an administrator does; the id and the history stay."""
        world = self.world
        world.users = tuple(
            replace(user, username=new_username) if user.username == username else user
            for user in world.users
        )
        self.accounts.rename(username, new_username)

    def is_deleted(self, template: Template) -> bool:
        """Return whether a template is deleted, from the start or since then."""
        return template.deleted or template.id in self.deleted_template_ids


@dataclass(slots=True)
class RequestContext:
    """A request with its account and the current time."""

    deployment: SimulatedDeployment
    account: Account
    query: QueryParams
    path_params: Mapping[str, str]
    body: bytes
    now: datetime

    @property
    def world(self) -> World:
        """The world of the deployment."""
        return self.deployment.world

    def visible_templates(self, templates: Iterable[Template]) -> list[Template]:
        """Return the templates that the account may read."""
        return [
            template
            for template in templates
            if template.id in self.account.admin_template_ids
            or self.account.can_in_organization(template.organization.name, "template", "read")
        ]

    def readable_template(self) -> Template:
        """Return the template of the path; raise ApiError 404 unless the account may read it."""
        template = self.deployment.template(self.path_params["id"])
        if template is None or not self.visible_templates([template]):
            raise not_found()
        return template


def format_timestamp(moment: datetime | None) -> Any:
    """Return a time in Go's JSON form; None is the zero time."""
    if moment is None:
        return "0001-01-01T00:00:00Z"
    return moment.isoformat().replace("+00:00", "Z")
