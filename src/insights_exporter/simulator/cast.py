"""Who and what is in a made-up deployment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from insights_exporter.simulator.dice import chance, scatter
from insights_exporter.simulator.model import App, Option, Organization, Parameter, Template, User

__all__ = ["Region", "cast"]


@dataclass(frozen=True, slots=True)
class Region:
    """Where people live: when their day begins in minutes after 0:00 UTC, and how far everything is."""

    name: str
    relay: str
    morning: int
    latency_ms: float
    relay_ms: float


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
_RENAMED = App("code-server", "VS Code in the browser", "/icon/code.svg")
"""Another template's name for an app of the same slug."""

_NAMES = (
    "ada", "grace", "linus", "margaret", "dennis", "barbara", "ken", "frances", "guido", "radia",
    "bjarne", "hedy", "niklaus", "karen", "donald", "shafi", "edsger", "jean", "alan", "sophie",
)  # fmt: skip
_LONG_AGO = datetime(2024, 1, 8, 9, 30, tzinfo=UTC)


def cast(
    templates: int, users: int, *, seed: int
) -> tuple[tuple[Organization, ...], tuple[Template, ...], tuple[User, ...], tuple[Region, ...]]:
    """Return organizations, templates, users and regions of a deployment of that size."""
    organizations = tuple(
        Organization(_id(2, place), name, shown, is_default=place == 0)
        for place, (name, shown) in enumerate(_ORGANIZATIONS)
    )
    made = tuple(_template(place, templates, organizations, seed) for place in range(templates))
    return organizations, made, tuple(_user(place, organizations, seed) for place in range(users)), _REGIONS


def _id(kind: int, place: int) -> str:
    return f"{str(kind) * 8}-0000-4000-8000-{place:012x}"


def _template(place: int, count: int, organizations: tuple[Organization, ...], seed: int) -> Template:
    name, shown, icon = _TEMPLATES[place % len(_TEMPLATES)]
    organization = organizations[0]
    if place == 1:
        # Two organizations each have a template of this name.
        name, shown, icon = _TEMPLATES[0]
        organization = organizations[1]
    elif place:
        organization = organizations[place % len(organizations)]
    if place >= len(_TEMPLATES):
        name, shown = f"{name}-{place // len(_TEMPLATES)}", f"{shown} {place // len(_TEMPLATES)}"
    start = 30_000 + scatter(seed, 81, place) % 90_000
    return Template(
        _id(1, place),
        organization,
        name,
        _id(3, place),
        shown,
        icon,
        # The newest one is young, so that the page shows its days.
        _LONG_AGO + timedelta(days=7 * (place % 40)),
        "Use another template." if count > 3 and place == count - 1 else "",
        apps=_apps(place),
        parameters=_parameters(place),
        former_parameters=_former(_parameters(place)) if place % 2 == 0 else (),
        build_ms={"start": (start, start * 2 + 7_000), "stop": (start // 6, start // 3)},
    )


def _apps(place: int) -> tuple[App, ...]:
    apps = (_APPS[(place + step) % len(_APPS)] for step in range(3))
    return tuple(_RENAMED if place == 3 and app.slug == _RENAMED.slug else app for app in apps)


def _former(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """Return the parameters as an older version declared them: one region less, another more."""
    ireland = Option("Ireland", "eu-west-1", icon="/emojis/1f1ee-1f1ea.png")
    return tuple(
        replace(one, description="Which region to use.", options=(ireland, *one.options[:2]))
        if one.name == "region"
        else one
        for one in parameters
    )


def _parameters(place: int) -> tuple[Parameter, ...]:
    regions = tuple(
        Option(shown, value, icon=f"/emojis/{flag}.png")
        for shown, value, flag in (
            ("Frankfurt", "eu-central-1", "1f1e9-1f1ea"),
            ("Virginia", "us-east-1", "1f1fa-1f1f8"),
            ("Oregon", "us-west-2", "1f1fa-1f1f8"),
            ("Sydney", "ap-southeast-2", "1f1e6-1f1fa"),
        )
    )
    cores = tuple(Option(f"{number} cores", str(number)) for number in (4, 8, 16, 32))
    tools = tuple(Option(name.capitalize(), name) for name in ("docker", "kubectl", "terraform"))
    return (
        Parameter("cpu", "number", "CPU cores", "How many cores the workspace gets.", "4", options=cores),
        Parameter("region", "string", "Region", "Where the workspace runs.", "eu-central-1", options=regions),
        Parameter("dotfiles", "string", "Dotfiles", "A repository to set your shell up.", ""),
        Parameter("tools", "list(string)", "Tools", "What to install besides.", '["docker"]', options=tools),
        *((Parameter("gpu", "bool", "GPU", "Whether to attach a GPU.", "false"),) if place % 3 == 0 else ()),
    )


def _user(place: int, organizations: tuple[Organization, ...], seed: int) -> User:
    base = _NAMES[place % len(_NAMES)]
    name = base if place < len(_NAMES) else f"{base}{place // len(_NAMES)}"
    luck = chance(seed, 91, place)
    return User(
        _id(4, place),
        name,
        tuple(one.id for one in organizations),
        base.capitalize() + (f" {place // len(_NAMES)}." if place >= len(_NAMES) else ""),
        f"{name}@example.test",
        "" if place % 7 == 3 else f"/emojis/{0x1F600 + place % 64:x}.png",
        "suspended" if luck > 0.98 else "dormant" if luck > 0.93 else "active",
        _LONG_AGO + timedelta(days=place % 300),
        region=_REGIONS[place % len(_REGIONS)].name,
    )
