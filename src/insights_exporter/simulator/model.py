"""What a simulated deployment consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

__all__ = [
    "Agent",
    "AgentReport",
    "App",
    "Build",
    "Organization",
    "Parameter",
    "ParameterOption",
    "Template",
    "User",
    "Workspace",
]

DEFAULT_CREATED_AT = datetime(2024, 1, 8, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization."""

    id: str
    name: str
    display_name: str = ""
    icon: str = ""
    is_default: bool = False
    created_at: datetime = DEFAULT_CREATED_AT


@dataclass(frozen=True, slots=True)
class App:
    """A custom app of a template."""

    slug: str
    display_name: str
    icon: str = ""


@dataclass(frozen=True, slots=True)
class ParameterOption:
    """A value that a parameter offers."""

    name: str
    value: str
    description: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a template."""

    name: str
    type: str = "string"
    display_name: str = ""
    description: str = ""
    default: str = ""
    icon: str = ""
    options: tuple[ParameterOption, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A template; ``build_ms`` holds the median and the 95th percentile in milliseconds by transition.

    ``former_parameters`` are those of an older version, from which outdated workspaces are built.
    """

    id: str
    organization: Organization
    name: str
    version_id: str
    display_name: str = ""
    icon: str = ""
    created_at: datetime = DEFAULT_CREATED_AT
    deprecation_message: str = ""
    deleted: bool = False
    apps: tuple[App, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    previous_parameters: tuple[Parameter, ...] = ()
    build_ms: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User:
    """A user; ``region`` names the relay nearest to them."""

    id: str
    username: str
    organizations: tuple[str, ...]
    name: str = ""
    email: str = ""
    avatar_url: str = ""
    status: str = "active"
    created_at: datetime = DEFAULT_CREATED_AT
    deleted: bool = False
    region: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of a workspace with the state it is in; ``relay_ms`` is None where nobody knows."""

    id: str
    name: str
    status: str
    version: str
    relay: str = ""
    relay_latency_ms: float | None = None
    app_health: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace as it is at one moment; ``agents`` are those of its newest build."""

    id: str
    name: str
    owner: User
    template: Template
    status: str
    transition: str
    created_at: datetime
    last_used: datetime | None = None
    dormant_at: datetime | None = None
    outdated: bool = False
    agents: tuple[Agent, ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """A build of a workspace with the parameter values chosen for it.

    ``parameters`` are those that the template's version of then declared; empty for those of today.
    """

    template: Template
    workspace_id: str
    number: int
    created_at: datetime
    values: Mapping[str, str]
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What an agent told at one moment, in the units of Coder's table; ``sessions`` counts open ones."""

    id: str
    created_at: datetime
    user_id: str
    agent_id: str
    workspace_id: str
    template_id: str
    connection_count: int
    latency_ms: float
    rx_bytes: int
    tx_bytes: int
    sessions: Mapping[str, int]
    usage: bool = False
