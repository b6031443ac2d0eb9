"""The simulated deployment: a world, who may ask, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.errors import not_found
from insights_exporter.simulator.api.fault_injection import FaultInjector
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.api.query_params import QueryParams
from insights_exporter.simulator.api.rate_limiter import RateLimiter
from insights_exporter.simulator.api.version import Capability, SimulatedVersion
from insights_exporter.simulator.coderd.metrics import CoderdMetrics
from insights_exporter.simulator.model import Template
from insights_exporter.simulator.world import World

__all__ = ["RequestContext", "SimulatedDeployment", "format_timestamp"]


@dataclass(slots=True)
class SimulatedDeployment:
    """All that the routes share; tests change ``accounts``, ``faults`` and ``world`` while it runs.

    ``calls`` counts answered requests by route, ``deleted`` holds ids of templates that are gone.
    """

    world: World
    accounts: Accounts
    now: Callable[[], datetime]
    options: ApiOptions = ApiOptions()
    faults: FaultInjector = field(default_factory=FaultInjector)
    deleted_template_ids: set[str] = field(default_factory=set)
    request_counts: dict[str, int] = field(default_factory=dict)
    release: SimulatedVersion = field(init=False)
    rate_limiter: RateLimiter = field(init=False)
    _metrics: CoderdMetrics | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Refuse versions that nobody imitates."""
        self.release = SimulatedVersion(self.options.version)
        self.rate_limiter = RateLimiter(self.options.rate_limit, self.now)

    @property
    def metrics(self) -> CoderdMetrics:
        """What coderd tells Prometheus; its process began when somebody first asked, less its uptime."""
        if self._metrics is None:
            options = self.options.metrics
            started = self.now() - options.uptime
            has_organization_label = self.supports(Capability.ORGANIZATION_LABEL)
            self._metrics = CoderdMetrics(self.world, started, options, has_organization_label)
        return self._metrics

    def supports(self, capability: Capability) -> bool:
        """Say whether the played version can do it."""
        return self.release.supports(capability)

    def template(self, template_id: str) -> Template | None:
        """Return a template that is not deleted."""
        candidates = (one for one in self.world.templates if one.id == template_id.lower())
        return next((one for one in candidates if not self.is_deleted(one)), None)

    def is_deleted(self, template: Template) -> bool:
        """Say whether a template was deleted, from the start or meanwhile."""
        return template.deleted or template.id in self.deleted_template_ids


@dataclass(slots=True)
class RequestContext:
    """One request: what a route may know of it."""

    deployment: SimulatedDeployment
    account: Account
    query: QueryParams
    path_params: Mapping[str, str]
    body: bytes
    now: datetime

    @property
    def world(self) -> World:
        """The world that is asked about."""
        return self.deployment.world

    def visible_templates(self, templates: Iterable[Template]) -> list[Template]:
        """Return those templates that the account may read."""
        return [
            template
            for template in templates
            if template.id in self.account.admin_template_ids
            or self.account.can_in_organization(template.organization.name, "template", "read")
        ]

    def readable_template(self) -> Template:
        """Return the template that the path names; raise the problem where it may not be read."""
        template = self.deployment.template(self.path_params["id"])
        if template is None or not self.visible_templates([template]):
            raise not_found()
        return template


def format_timestamp(moment: datetime | None) -> Any:
    """Return a time as Go writes it; the zero time for None."""
    if moment is None:
        return "0001-01-01T00:00:00Z"
    return moment.isoformat().replace("+00:00", "Z")
