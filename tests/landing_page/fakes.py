"""Snapshots of a fake deployment, and options to show them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from insights_exporter.config.settings import UsernameMode
from insights_exporter.landing_page import ViewOptions
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import (
    Agent,
    AppUsage,
    Deployment,
    Insights,
    Inventory,
    Latency,
    ParameterOption,
    ParameterUsage,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    UserLatency,
    WindowUsage,
    Workspace,
)

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
MAX_NAME_LENGTH = 128

_APPS = (
    ("vscode", "Visual Studio Code", "builtin"),
    ("ssh", "SSH", "builtin"),
    ("jetbrains", "JetBrains", "builtin"),
    ("reconnecting-pty", "Web Terminal", "builtin"),
    ("code-server", "code-server", "app"),
    ("jupyter", "Jupyter", "app"),
)
_DISPLAY_NAMES = (
    "Kubernetes",
    "Docker with VS Code",
    "GPU training",
    "AWS Linux",
    "Data science",
    "Front end",
)
_USERNAMES = ("ada", "grace", "alan", "barbara", "edsger", "donald", "leslie", "radia", "ken", "margaret")


def view_options(username_policy: UsernamePolicy | None = None, **options: Any) -> ViewOptions:
    """Return options that show usernames by default."""
    policy = username_policy or UsernamePolicy(UsernameMode.NAMED)
    return ViewOptions(username_policy=policy, **({"max_name_length": MAX_NAME_LENGTH} | options))


def fake_snapshot(templates: int = 4, *, seed: int = 7, hostile: str = "", users: int = 24) -> Snapshot:
    """Return a snapshot; ``hostile`` replaces every text that users of Coder can choose."""
    rng = random.Random(seed)
    usages = [_fake_usage(rng, index, hostile, max(1, users - 2 * index)) for index in range(templates)]
    keys = [usage.key for usage in usages if usage.key]
    inventory = Inventory(
        templates=[
            Template(
                key.template_name,
                key,
                hostile or _DISPLAY_NAMES[index % len(_DISPLAY_NAMES)],
                deprecated=index == 3,
            )
            for index, key in enumerate(keys)
        ],
        workspaces=[_fake_workspace(rng, index, keys[index % len(keys)]) for index in range(4 * templates)],
    )
    deployment_usage = _fake_usage(rng, 0, hostile, users)
    deployment = TemplateUsage(None, deployment_usage.windows, deployment_usage.days, deployment_usage.weeks)
    return Snapshot(
        NOW,
        inventory=Timestamped(inventory, NOW),
        insights=Timestamped(Insights(deployment, usages, collection_enabled=True), NOW),
        deployment=Timestamped(
            Deployment(
                hostile or "v2.30.1+0a1b2c3",
                "https://coder.example.com",
                users={"active": 83},
                license_limits={"user_limit": 100},
                license_used={"user_limit": 83},
            ),
            NOW,
        ),
    )


def _fake_usage(rng: random.Random, index: int, hostile: str, users: int) -> TemplateUsage:
    usernames = [
        hostile + str(n) if hostile else _USERNAMES[n % 10] + (str(n // 10) if n > 9 else "")
        for n in range(users)
    ]
    latency = Latency.from_rows(
        UserLatency(user, None if rng.random() < 0.1 else (p50 := rng.lognormvariate(-2.4, 0.9)), p50 * 1.9)
        for user in usernames
        if (p50 := 0.1)
    )
    apps = [
        AppUsage(hostile + slug, kind, rng.random() ** 3 * 3600 * 60, rng.randrange(300), hostile or title)
        for slug, title, kind in _APPS
    ]
    options = tuple(
        ParameterOption(value, hostile or value.title()) for value in ("small", "medium", "large")
    )
    parameters = [
        ParameterUsage(
            hostile + "size",
            "string",
            hostile or "Machine size",
            {"small": 12, "medium": 7, "large": 0},
            options,
        ),
        ParameterUsage(hostile + "gpu", "bool", hostile or "GPU", {"true": 3, "false": 16}),
        ParameterUsage(
            "repo", "string", hostile or "Repository", {f"{hostile}git@example.com:{n}": 2 for n in range(9)}
        ),
    ]
    window = WindowUsage(
        "7d",
        NOW - timedelta(days=7),
        NOW,
        users,
        sum(app.seconds for app in apps) * 0.8,
        apps,
        parameters,
        {user: rng.random() * 3600 * 20 for user in usernames},
        latency,
    )
    days = [max(1, users - rng.randrange(1 + users // 2)) for _ in range(6)]
    weeks: list[int | None] = [max(1, users + 4 - rng.randrange(8)) for _ in range(11)]
    key = TemplateKey(hostile or ("acme", "research")[index % 2], f"{hostile}template-{index:03}")
    return TemplateUsage(key, [window], [max(1, users // 3), *days], [*weeks, None])


def _fake_workspace(rng: random.Random, index: int, key: TemplateKey) -> Workspace:
    running = rng.random() < 0.6
    agent = Agent(
        str(index), "main", "connected" if rng.random() < 0.9 else "timeout", outdated=rng.random() < 0.1
    )
    return Workspace(
        str(index), "w", "ada", key, "running" if running else "stopped", agents=(agent,) if running else ()
    )
