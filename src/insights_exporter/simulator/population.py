"""Organizations, templates, users and regions of a generated deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from insights_exporter.simulator.model import (
    DEFAULT_CREATED_AT,
    App,
    Group,
    Organization,
    Parameter,
    ParameterOption,
    Template,
    User,
)
from insights_exporter.simulator.seeded_random import hash64, uniform

__all__ = ["SERVICE_ACCOUNT_NAME", "Region", "generate_groups", "generate_population", "service_account"]

SERVICE_ACCOUNT_NAME = "exporter"
"""The username of the exporter's account."""


@dataclass(frozen=True, slots=True)
class Region:
    """A location of users: start of the workday in minutes after 00:00 UTC, and latencies in milliseconds."""

    name: str
    relay: str
    workday_start_minute: int
    latency_ms: float
    relay_latency_ms: float


_EVERYONE_ALLOWANCE = 24
_TEAMS = (("payments", "Payments", 10), ("ml-platform", "ML platform", 20), ("web", "", 0))
"""Name, display name and quota allowance of the teams in the first organization."""

_REGIONS = (
    Region("europe", "Embedded Relay", 420, 38.0, 9.0),
    Region("east-coast", "New York", 780, 96.0, 14.0),
    Region("europe-office", "Embedded Relay", 390, 22.0, 4.0),
    Region("west-coast", "San Francisco", 960, 172.0, 21.0),
    Region("sydney", "Sydney", 1350, 335.0, 35.0),
)

_ORGANIZATIONS = (("acme", "Acme"), ("research", "Research"), ("platform", "Platform"))
_TEMPLATES = (
    ("go-dev", "Go", "/icon/go.svg"),
    ("python-dev", "Python", "/icon/python.svg"),
    ("frontend", "Web frontend", "/icon/nodejs.svg"),
    ("data-science", "Data science", "/icon/jupyter.svg"),
    ("java-dev", "Java", "/icon/java.svg"),
    ("kubernetes", "Kubernetes", "/icon/k8s.png"),
    ("rust-dev", "Rust", "/icon/rust.svg"),
    ("windows", "Windows", "/icon/windows.svg"),
)
_APPS = (
    App("code-server", "code-server", "/icon/code.svg"),
    App("jupyter", "JupyterLab", "/icon/jupyter.svg"),
    App("filebrowser", "File Browser", "/icon/filebrowser.svg"),
    App("grafana", "Grafana", "/icon/grafana.svg"),
    App("vault", "Vault", "/icon/vault.svg"),
)
_EXTERNAL_APP = App("wiki", "Wiki", "/icon/book.svg", external=True)
_RENAMED_APP = App("code-server", "VS Code in the browser", "/icon/code.svg")
"""Another template's display name of an app with the same slug."""

_USERNAMES = (
    "ada", "grace", "linus", "margaret", "dennis", "barbara", "ken", "frances", "guido", "radia",
    "bjarne", "hedy", "niklaus", "karen", "donald", "shafi", "edsger", "jean", "alan", "sophie",
)  # fmt: skip


def generate_population(
    templates: int, users: int, *, seed: int
) -> tuple[tuple[Organization, ...], tuple[Template, ...], tuple[User, ...], tuple[Region, ...]]:
    """Return organizations, templates, users and regions of a deployment of that size."""
    organizations = tuple(
        Organization(_id(2, index), name, display_name, is_default=index == 0)
        for index, (name, display_name) in enumerate(_ORGANIZATIONS)
    )
    generated_templates = tuple(
        _template(index, templates, organizations, seed) for index in range(templates)
    )
    return (
        organizations,
        generated_templates,
        tuple(_user(index, organizations, seed) for index in range(users)),
        _REGIONS,
    )


def _id(kind: int, index: int) -> str:
    return f"{str(kind) * 8}-0000-4000-8000-{index:012x}"


def _template(index: int, count: int, organizations: tuple[Organization, ...], seed: int) -> Template:
    name, display_name, icon = _TEMPLATES[index % len(_TEMPLATES)]
    organization = organizations[0]
    if index == 1:
        # Two organizations share this template name.
        name, display_name, icon = _TEMPLATES[0]
        organization = organizations[1]
    elif index:
        organization = organizations[index % len(organizations)]
    if index >= len(_TEMPLATES):
        name, display_name = (
            f"{name}-{index // len(_TEMPLATES)}",
            f"{display_name} {index // len(_TEMPLATES)}",
        )
    start = 30_000 + hash64(seed, 81, index) % 90_000
    return Template(
        _id(1, index),
        organization,
        name,
        _id(3, index),
        display_name,
        icon,
        # The creation dates spread over 40 weeks.
        DEFAULT_CREATED_AT + timedelta(days=7 * (index % 40)),
        "Use another template." if count > 3 and index == count - 1 else "",
        apps=_apps(index),
        parameters=_parameters(index),
        previous_parameters=_previous_parameters(_parameters(index)) if index % 2 == 0 else (),
        build_ms={"start": (start, start * 2 + 7_000), "stop": (start // 6, start // 3)},
        default_ttl=None if index % 5 == 2 else timedelta(hours=10),
        daily_cost=10 + 5 * (index % 4),
        # The last template with usage of the default deployment has a defect.
        failure_rate=0.3 if index == 5 else 0.02,
    )


def _apps(index: int) -> tuple[App, ...]:
    apps = (_APPS[(index + step) % len(_APPS)] for step in range(3))
    custom = tuple(_RENAMED_APP if index == 3 and app.slug == _RENAMED_APP.slug else app for app in apps)
    return (*custom, _EXTERNAL_APP) if index % 4 == 1 else custom


def _previous_parameters(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """Return the parameters of an older version: its regions differ from the current ones."""
    ireland = ParameterOption("Ireland", "eu-west-1", icon="/emojis/1f1ee-1f1ea.png")
    return tuple(
        replace(parameter, description="Which region to use.", options=(ireland, *parameter.options[:2]))
        if parameter.name == "region"
        else parameter
        for parameter in parameters
    )


def _parameters(index: int) -> tuple[Parameter, ...]:
    regions = tuple(
        ParameterOption(display_name, value, icon=f"/emojis/{flag}.png")
        for display_name, value, flag in (
            ("Frankfurt", "eu-central-1", "1f1e9-1f1ea"),
            ("Virginia", "us-east-1", "1f1fa-1f1f8"),
            ("Oregon", "us-west-2", "1f1fa-1f1f8"),
            ("Sydney", "ap-southeast-2", "1f1e6-1f1fa"),
        )
    )
    cores = tuple(ParameterOption(f"{number} cores", str(number)) for number in (4, 8, 16, 32))
    tools = tuple(ParameterOption(name.capitalize(), name) for name in ("docker", "kubectl", "terraform"))
    return (
        Parameter("cpu", "number", "CPU cores", "How many cores the workspace gets.", "4", options=cores),
        Parameter("region", "string", "Region", "Where the workspace runs.", "eu-central-1", options=regions),
        Parameter("dotfiles", "string", "Dotfiles", "A repository to set your shell up.", ""),
        Parameter("tools", "list(string)", "Tools", "What to install besides.", '["docker"]', options=tools),
        *((Parameter("gpu", "bool", "GPU", "Whether to attach a GPU.", "false"),) if index % 3 == 0 else ()),
    )


def _user(index: int, organizations: tuple[Organization, ...], seed: int) -> User:
    base = _USERNAMES[index % len(_USERNAMES)]
    name = base if index < len(_USERNAMES) else f"{base}{index // len(_USERNAMES)}"
    random_value = uniform(seed, 91, index)
    return User(
        _id(4, index),
        name,
        tuple(organization.id for organization in organizations),
        base.capitalize() + (f" {index // len(_USERNAMES)}." if index >= len(_USERNAMES) else ""),
        f"{name}@example.test",
        "" if index % 7 == 3 else f"/emojis/{0x1F600 + index % 64:x}.png",
        "suspended" if random_value > 0.98 else "dormant" if random_value > 0.93 else "active",
        DEFAULT_CREATED_AT + timedelta(days=index % 300),
        region=_REGIONS[index % len(_REGIONS)].name,
    )


def generate_groups(
    organizations: Sequence[Organization], users: Sequence[User], *, seed: int
) -> tuple[Group, ...]:
    """Return the groups of each organization: one of all members, and teams that overlap.

    Every user is in one team of the first organization, and one in five is in the second team, too.
    """
    everyone = tuple(
        Group(
            organization.id,
            organization,
            "Everyone",
            member_ids=tuple(user.id for user in users if organization.id in user.organizations),
            quota_allowance=_EVERYONE_ALLOWANCE,
        )
        for organization in organizations
    )
    members: dict[int, list[str]] = {index: [] for index in range(len(_TEAMS))}
    for index, user in enumerate(users):
        team = index % len(_TEAMS)
        members[team].append(user.id)
        if team != 1 and uniform(seed, 92, index) < 0.2:
            members[1].append(user.id)
    teams = (
        Group(
            _id(7, index),
            organizations[0],
            name,
            display_name,
            tuple(members[index]),
            quota_allowance=allowance,
        )
        for index, (name, display_name, allowance) in enumerate(_TEAMS)
    )
    return (*everyone, *teams)


def service_account(organizations: tuple[Organization, ...]) -> User:
    """Return the exporter's account, which works in no template."""
    return User(
        _id(4, 0xFFFFFFFF),
        SERVICE_ACCOUNT_NAME,
        tuple(organization.id for organization in organizations),
        is_service_account=True,
    )
