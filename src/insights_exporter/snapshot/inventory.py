"""Templates, workspaces, agents, apps and users of the snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

__all__ = [
    "Agent",
    "App",
    "BuildDuration",
    "Group",
    "Inventory",
    "Parameter",
    "ParameterOption",
    "Template",
    "TemplateKey",
    "UnitPrice",
    "User",
    "Workspace",
]


class TemplateKey(NamedTuple):
    """Organization and name of a template; template names repeat across organizations."""

    organization_name: str
    template_name: str


class ParameterOption(Struct, frozen=True, gc=False):
    """An option of a parameter with its display name."""

    value: str
    name: str = ""
    icon: str = ""


class Parameter(Struct, frozen=True, gc=False):
    """A parameter of the template's active version."""

    name: str
    type: str = ""
    display_name: str = ""
    default: str = ""
    options: tuple[ParameterOption, ...] = ()


class BuildDuration(Struct, frozen=True, gc=False):
    """Percentiles of a template's last builds in seconds; None without builds."""

    p50: float | None = None
    p95: float | None = None


class Template(Struct, frozen=True, gc=False):
    """A template; ``build_durations`` is keyed by transition."""

    id: str
    key: TemplateKey
    display_name: str = ""
    icon: str = ""
    created_at: datetime | None = None
    deprecated: bool = False
    build_durations: dict[str, BuildDuration] = {}
    parameters: tuple[Parameter, ...] = ()


class App(Struct, frozen=True, gc=False):
    """An app of an agent; an external app is a link without usage data."""

    slug: str
    display_name: str = ""
    icon: str = ""
    health: str = ""
    external: bool = False


class Agent(Struct, frozen=True, gc=False):
    """An agent of a workspace; ``relay`` is its preferred DERP relay, with the round-trip time in seconds."""

    id: str
    name: str
    status: str
    version: str = ""
    outdated: bool = False
    relay: str = ""
    relay_latency: float | None = None
    apps: tuple[App, ...] = ()


class Workspace(Struct, frozen=True, gc=False):
    """A workspace; ``status`` is that of its latest build, also while the workspace is dormant.

    ``transition`` and ``job_status`` are those of the latest build, such as start and failed.
    ``has_autostop`` is whether the latest build has a deadline; ``daily_cost`` is in units of Coder's quota.
    """

    id: str
    name: str
    owner: str
    key: TemplateKey
    status: str
    outdated: bool = False
    last_used: datetime | None = None
    agents: tuple[Agent, ...] = ()
    is_prebuild: bool = False
    is_dormant: bool = False
    deleting_at: datetime | None = None
    has_autostop: bool = False
    daily_cost: int = 0
    transition: str = ""
    job_status: str = ""


class User(Struct, frozen=True, gc=False):
    """A user account; ``last_seen`` is None before the first sign-in."""

    id: str
    username: str
    display_name: str = ""
    avatar_url: str = ""
    status: str = ""
    last_seen: datetime | None = None
    created_at: datetime | None = None
    is_service_account: bool = False


class UnitPrice(Struct, frozen=True, gc=False):
    """The configured price of one unit of Coder's quota."""

    amount: float
    currency: str


class Group(Struct, frozen=True, gc=False):
    """A group of an organization, or a team of the teams file, which has no organization.

    ``members`` holds usernames by user id; ``hidden_members`` counts members that the token may not read.
    ``quota_allowance`` is the daily cost that the group allows each member; None for a team.
    """

    organization_name: str
    name: str
    members: dict[str, str] = {}
    hidden_members: int = 0
    quota_allowance: int | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Templates, workspaces, users and groups; a list that the token may not read is empty."""

    templates: Sequence[Template] = ()
    workspaces: Sequence[Workspace] = ()
    users: Sequence[User] = ()
    groups: Sequence[Group] = ()
    templates_complete: bool = True
    """Whether the template list had no invalid rows; only then is a missing template deleted."""
    withheld_templates: frozenset[TemplateKey] = frozenset()
    """Templates with too few owners, whose workspaces are removed: their number is not 0."""
