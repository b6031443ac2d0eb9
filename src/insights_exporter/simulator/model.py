"""Entities of a simulated deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

__all__ = [
    "CLIENT_APPS",
    "DEFAULT_CREATED_AT",
    "PREBUILDS_USER",
    "Agent",
    "AgentReport",
    "App",
    "Build",
    "ClientApp",
    "Group",
    "Organization",
    "Parameter",
    "ParameterOption",
    "Template",
    "User",
    "Workspace",
    "client_app",
]

DEFAULT_CREATED_AT: Final = datetime(2024, 1, 8, 9, 30, tzinfo=UTC)


class ClientApp(NamedTuple):
    """A client program, and the session family under which older servers count it."""

    name: str
    display_name: str
    icon: str
    family: str


CLIENT_APPS: Final = (
    ClientApp("vscode", "VS Code", "/icon/code.svg", "vscode"),
    ClientApp("cursor", "Cursor", "/icon/cursor.svg", "vscode"),
    ClientApp("jetbrains", "JetBrains", "/icon/intellij.svg", "jetbrains"),
    ClientApp("reconnecting-pty", "Web Terminal", "/icon/terminal.svg", "reconnecting_pty"),
    ClientApp("ssh", "SSH", "/icon/terminal.svg", "ssh"),
    ClientApp("unknown", "Unknown", "", "unknown"),
    ClientApp("overflow", "Overflow", "", "unknown"),
)
"""Client programs in the API's order; the last two account for programs without a name of their own."""


def client_app(family: str, user: int) -> str:
    """Return the client program by which the user with this index opens sessions of a family."""
    if family == "vscode" and user % 3 == 0:
        return "cursor"
    return family.replace("_", "-")


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
class Group:
    """A group of an organization; ``member_ids`` are user ids.

    The group of all members of an organization has the organization's id and the name ``Everyone``.
    """

    id: str
    organization: Organization
    name: str
    display_name: str = ""
    member_ids: tuple[str, ...] = ()
    quota_allowance: int = 0


@dataclass(frozen=True, slots=True)
class App:
    """A custom app of a template; an external app is a link without usage or health."""

    slug: str
    display_name: str
    icon: str = ""
    external: bool = False


@dataclass(frozen=True, slots=True)
class ParameterOption:
    """A declared value of a parameter."""

    name: str
    value: str
    description: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a template version."""

    name: str
    type: str = "string"
    display_name: str = ""
    description: str = ""
    default: str = ""
    icon: str = ""
    options: tuple[ParameterOption, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A template; ``build_ms`` holds the p50 and p95 of build durations in milliseconds by transition.

    ``previous_parameters`` are those of an older version, which outdated workspaces run. ``default_ttl`` is
    the time after which a workspace stops; None disables autostop. ``daily_cost`` is the cost of a running
    workspace. ``failure_rate`` is the share of builds that fail.
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
    default_ttl: timedelta | None = timedelta(hours=8)
    daily_cost: int = 0
    failure_rate: float = 0.02


@dataclass(frozen=True, slots=True)
class User:
    """A user; ``region`` is the name of the nearest relay region."""

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
    is_service_account: bool = False


PREBUILDS_USER: Final = User("c42fdf75-3097-471c-8c33-fb52454d81c0", "prebuilds", (), "Prebuilds Owner")
"""The system user that owns prebuilt workspaces; ``/users`` does not list it."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of a workspace; ``relay_latency_ms`` is None without a connection to a relay."""

    id: str
    name: str
    status: str
    version: str
    relay: str = ""
    relay_latency_ms: float | None = None
    app_health: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace at one time; ``agents`` belong to its latest build, ``deadline`` is its autostop time."""

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
    is_prebuild: bool = False
    deleting_at: datetime | None = None
    deadline: datetime | None = None
    daily_cost: int = 0


@dataclass(frozen=True, slots=True)
class Build:
    """A start of a workspace with its parameter values; ``seconds`` is how long it took.

    ``parameters`` are those of the version that was built; empty means the template's current ones.
    """

    template: Template
    workspace_id: str
    number: int
    created_at: datetime
    values: Mapping[str, str]
    parameters: tuple[Parameter, ...] = ()
    is_failed: bool = False
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class AgentReport:
    """A row of agent statistics in the units of Coder's table; ``sessions`` counts open ones by family."""

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
