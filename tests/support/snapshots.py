"""A snapshot that feeds every family, of any size, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

from insights_exporter.lanes import joined
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.snapshot import (
    Account,
    Agent,
    AgentStats,
    App,
    AppUse,
    BuildDuration,
    Deployment,
    Distribution,
    Insights,
    Inventory,
    Latency,
    Parameter,
    ParameterOption,
    ParameterUse,
    Reading,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUse,
    Totals,
    UserLatency,
    WindowUse,
    Workspace,
)

__all__ = ["NOW", "rich_snapshot"]

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
_ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
_WINDOWS = {"today": 0.05, "yesterday": 0.1, "7d": 0.6, "30d": 1.0}
_NAMES = ("go", "python", "rust", "java", "data-science", "android", "frontend", "legacy")
_PEOPLE = ("ada", "bo", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "lea")
_APPS = (
    AppUse("vscode", "builtin", 5.0, 4, "Visual Studio Code", "/icon/code.svg"),
    AppUse("jetbrains", "builtin", 2.0, 2, "JetBrains", "/icon/intellij.svg"),
    AppUse("reconnecting-pty", "builtin", 1.0, 3, "Web Terminal", "/icon/terminal.svg"),
    AppUse("ssh", "builtin", 3.0, 5, "SSH", "/icon/terminal.svg"),
    AppUse("sftp", "builtin", 0.0, 0, "SFTP", "/icon/terminal.svg"),
    AppUse("code-server", "app", 1.5, 2, "code-server", "/icon/code.svg"),
    AppUse("jupyter", "app", 1.0, 1, "Jupyter", "/icon/jupyter.svg"),
)
_REGION = Parameter(
    "region",
    "string",
    "Region",
    "eu",
    (
        ParameterOption("eu", "Europe", "/emojis/1f1ea-1f1fa.png"),
        ParameterOption("us", "United States", "/emojis/1f1fa-1f1f8.png"),
        ParameterOption("sydney", "Sydney", "/emojis/1f1e6-1f1fa.png"),
    ),
)
_IDES = Parameter(
    "ides", "list(string)", "IDEs", "[]", (ParameterOption("go", "GoLand"), ParameterOption("py", "PyCharm"))
)
_PARAMETERS = (
    _REGION,
    _IDES,
    Parameter("cpu", "number", "Cores", "4"),
    Parameter("dotfiles", "string", "Dotfiles repository"),
    Parameter("gpu", "bool", "GPU", "false"),
)


def rich_snapshot(*, templates: int = 6, users: int = 12, seed: int = 1, at: datetime = NOW) -> Snapshot:
    """Return a deployment of two organizations; names of templates repeat across them.

    Each third template is idle. Each used one has users in every window, some without a latency.
    """
    world = _World(templates, users, random.Random(seed), at)
    return Snapshot(
        taken_at=at,
        inventory=Reading(world.inventory(), at),
        insights=Reading(world.insights(), at),
        deployment=Reading(
            Deployment(
                version="v2.26.0+b7d3a1f",
                dashboard_url="https://coder.example.com",
                deployment_id="0b2f6d1e-3f0e-4a39-9b5b-64c9a5a4a5c1",
                users={"active": users, "dormant": 2, "suspended": 1},
                license_user_limit=users + 10,
            ),
            at,
        ),
        agent_stats=Reading(world.agent_stats(), at),
    )


@dataclass
class _World:
    templates: int
    users: int
    rng: random.Random
    at: datetime
    keys: Sequence[TemplateKey] = field(init=False)
    people: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        names = [_NAMES[n] if n < len(_NAMES) else f"template-{n}" for n in range((self.templates + 1) // 2)]
        pairs = [TemplateKey(owner, name) for name, owner in product(names, ("acme", "labs"))]
        self.keys = pairs[: self.templates]
        self.people = [_PEOPLE[n] if n < len(_PEOPLE) else f"user-{n}" for n in range(self.users)]

    def used(self) -> list[TemplateKey]:
        """Return the templates that somebody uses."""
        return [key for n, key in enumerate(self.keys) if n % 3 != 2]

    def identifier(self) -> str:
        """Return a new id."""
        digits = f"{self.rng.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def inventory(self) -> Inventory:
        """Return what exists."""
        return Inventory(
            templates=[
                Template(
                    id=self.identifier(),
                    key=key,
                    display_name=key.template_name.replace("-", " ").title(),
                    icon=f"/icon/{key.template_name}.svg",
                    created_at=datetime(2025, 1 + n % 12, 1, tzinfo=UTC),
                    deprecated=key.template_name == "legacy",
                    build_durations={"start": BuildDuration(42.5, 118.0), "stop": BuildDuration(9.0, 31.0)},
                    parameters=_PARAMETERS,
                )
                for n, key in enumerate(self.keys)
            ],
            workspaces=[
                self.workspace(person, key)
                for n, key in enumerate(self.used())
                for person in self.people[n % 2 :: 2][:20]
            ],
            users=[
                Account(
                    id=self.identifier(),
                    username=person,
                    display_name=person.title(),
                    avatar_url=f"https://avatars.example.com/{person}.png",
                    status="active",
                    last_seen=None if n % 7 == 6 else self.at - timedelta(hours=n),
                )
                for n, person in enumerate(self.people)
            ],
        )

    def workspace(self, owner: str, key: TemplateKey) -> Workspace:
        """Return somebody's workspace with an agent."""
        status = self.rng.choice(("running", "running", "running", "stopped", "failed"))
        agent = Agent(
            id=self.identifier(),
            name="main",
            status=self.rng.choice(("connected", "connected", "connected", "disconnected")),
            version="v2.26.0+b7d3a1f",
            outdated=self.rng.random() < 0.2,
            relay=self.rng.choice(("Frankfurt", "New York", "Sydney")),
            relay_latency=self.rng.lognormvariate(-3.5, 0.8),
            apps=(App("code-server", "code-server", "/icon/code.svg", "healthy"), App("jupyter", "Jupyter")),
        )
        return Workspace(self.identifier(), f"{owner}-dev", owner, key, status, agents=(agent,))

    def insights(self) -> Insights:
        """Return how templates are used."""
        used = set(self.used())
        whole = self.use(None, self.people)
        return Insights(
            deployment=whole,
            templates=[self.use(key, self.people if key in used else ()) for key in self.keys],
            collection_enabled=True,
        )

    def use(self, key: TemplateKey | None, people: Sequence[str]) -> TemplateUse:
        """Return the use by these people."""
        count = len(people)
        return TemplateUse(
            key=key,
            windows=[self.window(name, share, people) for name, share in _WINDOWS.items()],
            days=[max(0, count - n) for n in range(7)],
            weeks=[max(0, count - n // 2) for n in range(12)],
            totals=self.totals(people),
        )

    def window(self, name: str, share: float, people: Sequence[str]) -> WindowUse:
        """Return the use of one window."""
        activity = {person: float(60 * self.rng.randrange(1, 2 + int(9000 * share))) for person in people}
        seconds = sum(activity.values())
        return WindowUse(
            window=name,
            start=self.at - timedelta(days=30 * share),
            end=self.at,
            active_users=len(people),
            seconds=seconds,
            apps=[
                AppUse(
                    app.slug,
                    app.type,
                    60.0 * (app.seconds * seconds // 600),
                    (app.opens or 0) * len(people),
                    app.display_name,
                    app.icon,
                )
                for app in _APPS
            ],
            parameters=[self.parameter(parameter, len(people)) for parameter in _PARAMETERS],
            activity=activity,
            latency=Latency.of(self.latency(person, n) for n, person in enumerate(people)),
        )

    def latency(self, person: str, number: int) -> UserLatency:
        """Return somebody's round trip; each fifth is far away, each seventh unmeasured."""
        if number % 7 == 6:
            return UserLatency(person, None, None)
        p50 = self.rng.lognormvariate(-1.5 if number % 5 == 4 else -3.2, 0.5)
        return UserLatency(person, p50, p50 * self.rng.uniform(1.1, 3.0))

    def parameter(self, parameter: Parameter, people: int) -> ParameterUse:
        """Return how many chose what; the last option is nobody's."""
        chosen: Mapping[str, dict[str, int]] = {
            "region": {"eu": people - people // 3, "us": people // 3, "sydney": 0},
            "ides": {"go": 0, "py": 0, '["go","py"]': people},
            "cpu": {"4": people // 2, "8": people - people // 2},
            "dotfiles": {"": people // 2, "https://git.example.com/ada/dotfiles": people - people // 2},
            "gpu": {"false": people, "true": 0},
        }
        return ParameterUse(
            parameter.name,
            parameter.type,
            parameter.display_name,
            chosen[parameter.name],
            parameter.options,
        )

    def totals(self, people: Sequence[str]) -> Totals:
        """Return what accumulated since the anchor."""
        users = {person: float(60 * self.rng.randrange(1, 20_000)) for person in people}
        seconds = sum(users.values())
        apps = {(app.slug, app.type): 60.0 * (app.seconds * seconds // 600) for app in _APPS}
        return Totals(since=_ANCHOR, seconds=seconds, apps=apps, users=users)

    def agent_stats(self) -> AgentStats:
        """Return what agents reported."""
        people = self.people[:8]
        apps = [(*key, app.slug) for key in self.used() for app in _APPS[:4]]
        return AgentStats(
            since=_ANCHOR,
            latency={
                (key.organization_name, key.template_name): {one: self.distribution() for one in people}
                for key in self.used()
            },
            app_latency={app: self.distribution() for app in apps},
            session_seconds={
                (*key, "vscode"): {one: 30.0 * self.rng.randrange(1, 900) for one in people}
                for key in self.used()
            },
            sessions={app: self.rng.randrange(9) for app in apps},
            connections={
                (key.organization_name, key.template_name): self.rng.randrange(30) for key in self.used()
            },
            received_bytes={
                (key.organization_name, key.template_name): float(self.rng.randrange(1, 10**10))
                for key in self.used()
            },
            transmitted_bytes={
                (key.organization_name, key.template_name): float(self.rng.randrange(1, 10**10))
                for key in self.used()
            },
        )

    def distribution(self) -> Distribution:
        """Return some hundred observations."""
        counts = [self.rng.randrange(40) for _ in range(len(LATENCY_BUCKETS) + 1)]
        return Distribution(joined(counts), len(counts), 0.05 * sum(counts), _ANCHOR)
