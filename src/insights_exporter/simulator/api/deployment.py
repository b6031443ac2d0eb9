"""The simulated deployment: a world, who may ask, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.faults import Faults
from insights_exporter.simulator.api.limiter import RateLimiter
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.api.problem import not_found
from insights_exporter.simulator.api.query import Query
from insights_exporter.simulator.api.release import Capability, Release
from insights_exporter.simulator.coderd.metrics import CoderdMetrics
from insights_exporter.simulator.model import Template
from insights_exporter.simulator.world import World

__all__ = ["Call", "SimulatedDeployment", "stamp"]


@dataclass(slots=True)
class SimulatedDeployment:
    """All that the routes share; tests change ``accounts``, ``faults`` and ``world`` while it runs.

    ``calls`` counts answered requests by route, ``deleted`` holds ids of templates that are gone.
    """

    world: World
    accounts: Accounts
    now: Callable[[], datetime]
    options: ApiOptions = ApiOptions()  # noqa: RUF009 - it is frozen.
    faults: Faults = field(default_factory=Faults)
    deleted: set[str] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    release: Release = field(init=False)
    limiter: RateLimiter = field(init=False)
    _metrics: CoderdMetrics | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Refuse versions that nobody imitates."""
        self.release = Release(self.options.version)
        self.limiter = RateLimiter(self.options.rate_limit, self.now)

    @property
    def metrics(self) -> CoderdMetrics:
        """What coderd tells Prometheus; its process began when somebody first asked, less its uptime."""
        if self._metrics is None:
            options = self.options.metrics
            started = self.now() - options.uptime
            named = self.has(Capability.ORGANIZATION_LABEL)
            self._metrics = CoderdMetrics(self.world, started, options, named)
        return self._metrics

    def has(self, capability: Capability) -> bool:
        """Say whether the played version can do it."""
        return self.release.has(capability)

    def template(self, identity: str) -> Template | None:
        """Return a template that is not deleted."""
        found = (one for one in self.world.templates if one.id == identity.lower())
        return next((one for one in found if not self.is_deleted(one)), None)

    def is_deleted(self, template: Template) -> bool:
        """Say whether a template was deleted, from the start or meanwhile."""
        return template.deleted or template.id in self.deleted


@dataclass(slots=True)
class Call:
    """One request: what a route may know of it."""

    deployment: SimulatedDeployment
    account: Account
    query: Query
    path: Mapping[str, str]
    body: bytes
    now: datetime

    @property
    def world(self) -> World:
        """The world that is asked about."""
        return self.deployment.world

    def visible(self, templates: Iterable[Template]) -> list[Template]:
        """Return those templates that the account may read."""
        return [
            one
            for one in templates
            if one.id in self.account.administers
            or self.account.may_within(one.organization.name, "template", "read")
        ]

    def readable_template(self) -> Template:
        """Return the template that the path names; raise the problem where it may not be read."""
        template = self.deployment.template(self.path["id"])
        if template is None or not self.visible([template]):
            raise not_found()
        return template


def stamp(moment: datetime | None) -> Any:
    """Return a time as Go writes it; the zero time for None."""
    if moment is None:
        return "0001-01-01T00:00:00Z"
    return moment.isoformat().replace("+00:00", "Z")
