"""A snapshot of any size that has data for every family; the same seed gives the same data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.packed_counts import pack_counts
from insights_exporter.snapshot import (
    Agent,
    AgentStats,
    App,
    AppUsage,
    BuildDuration,
    Deployment,
    GroupQuota,
    GroupUsage,
    GroupWindow,
    Insights,
    Inventory,
    Latency,
    LatencyHistogram,
    Onboarding,
    Parameter,
    ParameterOption,
    ParameterUsage,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    Totals,
    UnitPrice,
    User,
    UserLatency,
    WindowUsage,
    Workspace,
)

__all__ = ["NOW", "rich_snapshot"]

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
_ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
_WINDOWS = {"today": 0.05, "yesterday": 0.1, "7d": 0.6, "30d": 1.0}
_NAMES = ("go", "python", "rust", "java", "data-science", "android", "frontend", "legacy")
_USERNAMES = ("ada", "bo", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jun", "kim", "lea")
_APPS = (
    AppUsage("vscode", "builtin", 5.0, 4, "Visual Studio Code", "/icon/code.svg"),
    AppUsage("jetbrains", "builtin", 2.0, 2, "JetBrains", "/icon/intellij.svg"),
    AppUsage("reconnecting-pty", "builtin", 1.0, 3, "Web Terminal", "/icon/terminal.svg"),
    AppUsage("ssh", "builtin", 3.0, 5, "SSH", "/icon/terminal.svg"),
    AppUsage("sftp", "builtin", 0.0, 0, "SFTP", "/icon/terminal.svg"),
    AppUsage("code-server", "app", 1.5, 2, "code-server", "/icon/code.svg"),
    AppUsage("jupyter", "app", 1.0, 1, "Jupyter", "/icon/jupyter.svg"),
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
    """Return a snapshot of two organizations with equal template names.

    Every third template is idle. The others have users in every window, some without a latency.
    """
    builder = _SnapshotBuilder(templates, users, random.Random(seed), at)
    return Snapshot(
        collected_at=at,
        inventory=Timestamped(builder.inventory(), at),
        insights=Timestamped(builder.insights(), at),
        deployment=Timestamped(
            Deployment(
                version="v2.26.0+b7d3a1f",
                dashboard_url="https://coder.example.com",
                deployment_id="0b2f6d1e-3f0e-4a39-9b5b-64c9a5a4a5c1",
                users={"active": users, "dormant": 2, "suspended": 1},
                license_limits={"user_limit": users + 10, "managed_agent_limit": 1000},
                license_used={"user_limit": users, "managed_agent_limit": 120, "agent_runtime_hours": 12.5},
            ),
            at,
        ),
        agent_stats=Timestamped(builder.agent_stats(), at),
        groups=_group_usages(users),
        onboarding=Onboarding(
            {"created": 5, "signed_in": 4, "created_workspace": 3, "used_workspace": 2},
            {
                "never_signed_in": ("jun",),
                "no_workspace": ("kim",),
                "unused_workspace": ("lea",),
                "stopped": (),
            },
        ),
        unit_price=UnitPrice(0.25, "EUR"),
    )


def _group_usages(users: int) -> Sequence[GroupUsage]:
    """Return the group of all users, and a team of half of them."""
    return [
        GroupUsage(
            organization_name,
            name,
            members,
            windows=tuple(
                GroupWindow(
                    window,
                    members,
                    3600.0 * members * fraction,
                    {"fast": members - 1, "fair": 0, "slow": 1, "unmeasured": 0},
                )
                for window, fraction in _WINDOWS.items()
            ),
            daily_cost=10 * members,
            quota=quota,
        )
        for organization_name, name, members, quota in (
            ("acme", "Everyone", users, GroupQuota(15, 15 * users, 1)),
            ("", "Payments", users // 2, None),
        )
    ]


@dataclass
class _SnapshotBuilder:
    templates: int
    users: int
    rng: random.Random
    at: datetime
    keys: Sequence[TemplateKey] = field(init=False)
    usernames: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        names = [_NAMES[n] if n < len(_NAMES) else f"template-{n}" for n in range((self.templates + 1) // 2)]
        pairs = [TemplateKey(owner, name) for name, owner in product(names, ("acme", "labs"))]
        self.keys = pairs[: self.templates]
        self.usernames = [_USERNAMES[n] if n < len(_USERNAMES) else f"user-{n}" for n in range(self.users)]

    def used_templates(self) -> list[TemplateKey]:
        """Return the templates with usage."""
        return [key for n, key in enumerate(self.keys) if n % 3 != 2]

    def new_id(self) -> str:
        """Return a new id."""
        digits = f"{self.rng.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def inventory(self) -> Inventory:
        """Return the inventory."""
        return Inventory(
            templates=[
                Template(
                    id=self.new_id(),
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
                self.workspace(username, key, number)
                for n, key in enumerate(self.used_templates())
                for number, username in enumerate(self.usernames[n % 2 :: 2][:20])
            ],
            users=[
                User(
                    id=self.new_id(),
                    username=username,
                    display_name=username.title(),
                    avatar_url=f"https://avatars.example.com/{username}.png",
                    status="active",
                    last_seen=None if n % 7 == 6 else self.at - timedelta(hours=n),
                )
                for n, username in enumerate(self.usernames)
            ],
        )

    def workspace(self, owner: str, key: TemplateKey, number: int) -> Workspace:
        """Return a workspace with an agent; the number selects its other traits."""
        status = self.rng.choice(("running", "running", "running", "stopped", "failed"))
        agent = Agent(
            id=self.new_id(),
            name="main",
            status=self.rng.choice(("connected", "connected", "connected", "disconnected")),
            version="v2.26.0+b7d3a1f",
            outdated=self.rng.random() < 0.2,
            relay=self.rng.choice(("Frankfurt", "New York", "Sydney")),
            relay_latency=self.rng.lognormvariate(-3.5, 0.8),
            apps=(
                App("code-server", "code-server", "/icon/code.svg", "healthy"),
                App("jupyter", "Jupyter"),
                App("wiki", "Wiki", health="healthy", external=True),
            ),
        )
        is_dormant = number % 5 == 4
        return Workspace(
            self.new_id(),
            f"{owner}-dev",
            owner,
            key,
            status,
            outdated=number % 3 == 1,
            last_used=self.at - timedelta(hours=5 * number * number),
            agents=(agent,),
            is_prebuild=number % 7 == 5,
            is_dormant=is_dormant,
            deleting_at=self.at + timedelta(days=number) if is_dormant else None,
            has_autostop=number % 2 == 0,
            daily_cost=5 + number,
            transition="stop" if status == "stopped" else "start",
            job_status="failed" if status == "failed" else "succeeded",
        )

    def insights(self) -> Insights:
        """Return the usage of all templates."""
        used_keys = set(self.used_templates())
        deployment_usage = self.template_usage(None, self.usernames)
        return Insights(
            deployment=deployment_usage,
            templates=[
                self.template_usage(key, self.usernames if key in used_keys else ()) for key in self.keys
            ],
            today=self.at.date(),
            collection_enabled=True,
            windows_updated_at={
                name: self.at - timedelta(hours=fraction) for name, fraction in _WINDOWS.items()
            },
        )

    def template_usage(self, key: TemplateKey | None, usernames: Sequence[str]) -> TemplateUsage:
        """Return the usage by these users."""
        count = len(usernames)
        return TemplateUsage(
            key=key,
            windows=[self.window_usage(name, fraction, usernames) for name, fraction in _WINDOWS.items()],
            days=[max(0, count - n) for n in range(7)],
            weeks=[max(0, count - n // 2) for n in range(12)],
            totals=self.totals(usernames),
        )

    def window_usage(self, name: str, fraction: float, usernames: Sequence[str]) -> WindowUsage:
        """Return the usage of one window."""
        activity = {
            username: float(60 * self.rng.randrange(1, 2 + int(9000 * fraction))) for username in usernames
        }
        seconds = sum(activity.values())
        return WindowUsage(
            window=name,
            start=self.at - timedelta(days=30 * fraction),
            end=self.at,
            active_users=len(usernames),
            seconds=seconds,
            apps=[
                AppUsage(
                    app.slug,
                    app.type,
                    60.0 * (app.seconds * seconds // 600),
                    (app.opens or 0) * len(usernames),
                    app.display_name,
                    app.icon,
                )
                for app in _APPS
            ],
            parameters=[self.parameter_usage(parameter, len(usernames)) for parameter in _PARAMETERS],
            activity=activity,
            latency=Latency.from_rows(self.latency(username, n) for n, username in enumerate(usernames)),
        )

    def latency(self, username: str, number: int) -> UserLatency:
        """Return a user's latency; every fifth is high, every seventh has no measurement."""
        if number % 7 == 6:
            return UserLatency(username, None, None)
        p50 = self.rng.lognormvariate(-1.5 if number % 5 == 4 else -3.2, 0.5)
        return UserLatency(username, p50, p50 * self.rng.uniform(1.1, 3.0))

    def parameter_usage(self, parameter: Parameter, user_count: int) -> ParameterUsage:
        """Return workspaces by value; the last option is unused."""
        counts_by_value: Mapping[str, dict[str, int]] = {
            "region": {"eu": user_count - user_count // 3, "us": user_count // 3, "sydney": 0},
            "ides": {"go": 0, "py": 0, '["go","py"]': user_count},
            "cpu": {"4": user_count // 2, "8": user_count - user_count // 2},
            "dotfiles": {
                "": user_count // 2,
                "https://git.example.com/ada/dotfiles": user_count - user_count // 2,
            },
            "gpu": {"false": user_count, "true": 0},
        }
        return ParameterUsage(
            parameter.name,
            parameter.type,
            parameter.display_name,
            counts_by_value[parameter.name],
            parameter.options,
        )

    def totals(self, usernames: Sequence[str]) -> Totals:
        """Return the totals since the anchor."""
        users = {username: float(60 * self.rng.randrange(1, 20_000)) for username in usernames}
        seconds = sum(users.values())
        apps = {(app.slug, app.type): 60.0 * (app.seconds * seconds // 600) for app in _APPS}
        return Totals(since=_ANCHOR, seconds=seconds, apps=apps, users=users)

    def agent_stats(self) -> AgentStats:
        """Return the agent statistics."""
        usernames = self.usernames[:8]
        apps = [(*key, app.slug) for key in self.used_templates() for app in _APPS[:4]]
        return AgentStats(
            since=_ANCHOR,
            latency={
                (key.organization_name, key.template_name): {
                    username: self.distribution() for username in usernames
                }
                for key in self.used_templates()
            },
            app_latency={app: self.distribution() for app in apps},
            session_seconds={
                (*key, "vscode"): {username: 30.0 * self.rng.randrange(1, 900) for username in usernames}
                for key in self.used_templates()
            },
            sessions={app: self.rng.randrange(9) for app in apps},
            peer_connections={
                (*key, one): self.rng.randrange(9) for key in self.used_templates() for one in ("p2p", "derp")
            },
            user_peer_connections={
                (*key, one): {username: float(self.rng.randrange(3)) for username in usernames}
                for key in self.used_templates()
                for one in ("p2p", "derp")
            },
            connections={
                (key.organization_name, key.template_name): self.rng.randrange(30)
                for key in self.used_templates()
            },
            received_bytes={
                (key.organization_name, key.template_name): float(self.rng.randrange(1, 10**10))
                for key in self.used_templates()
            },
            transmitted_bytes={
                (key.organization_name, key.template_name): float(self.rng.randrange(1, 10**10))
                for key in self.used_templates()
            },
        )

    def distribution(self) -> LatencyHistogram:
        """Return a histogram of some hundred observations."""
        counts = [self.rng.randrange(40) for _ in range(len(LATENCY_BUCKETS) + 1)]
        return LatencyHistogram(pack_counts(counts), len(counts), 0.05 * sum(counts), _ANCHOR)
