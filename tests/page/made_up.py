"""A snapshot of a made-up deployment, with as many templates as a test wants."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from insights_exporter.snapshot import (
    Agent,
    AppUse,
    Deployment,
    Insights,
    Inventory,
    Latency,
    ParameterOption,
    ParameterUse,
    Reading,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUse,
    UserLatency,
    WindowUse,
    Workspace,
)

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)

_APPS = (
    ("vscode", "Visual Studio Code", "builtin"),
    ("ssh", "SSH", "builtin"),
    ("jetbrains", "JetBrains", "builtin"),
    ("reconnecting-pty", "Web Terminal", "builtin"),
    ("code-server", "code-server", "app"),
    ("jupyter", "Jupyter", "app"),
)
_NAMES = ("Kubernetes", "Docker with VS Code", "GPU training", "AWS Linux", "Data science", "Front end")
_PEOPLE = ("ada", "grace", "alan", "barbara", "edsger", "donald", "leslie", "radia", "ken", "margaret")


def snapshot(templates: int = 4, *, seed: int = 7, hostile: str = "", users: int = 24) -> Snapshot:
    """Return a deployment; ``hostile`` stands wherever somebody may choose a name."""
    dice = random.Random(seed)
    uses = [_use(dice, number, hostile, max(1, users - 2 * number)) for number in range(templates)]
    keys = [use.key for use in uses if use.key]
    inventory = Inventory(
        templates=[
            Template(key.template_name, key, hostile or _NAMES[number % len(_NAMES)], deprecated=number == 3)
            for number, key in enumerate(keys)
        ],
        workspaces=[_workspace(dice, number, keys[number % len(keys)]) for number in range(4 * templates)],
    )
    whole = _use(dice, 0, hostile, users)
    deployment = TemplateUse(None, whole.windows, whole.days, whole.weeks)
    return Snapshot(
        NOW,
        inventory=Reading(inventory, NOW),
        insights=Reading(Insights(deployment, uses, collection_enabled=True), NOW),
        deployment=Reading(
            Deployment(
                hostile or "v2.30.1+0a1b2c3",
                "https://coder.example.com",
                users={"active": 83},
                license_user_limit=100,
            ),
            NOW,
        ),
    )


def _use(dice: random.Random, number: int, hostile: str, users: int) -> TemplateUse:
    people = [
        hostile + str(n) if hostile else _PEOPLE[n % 10] + (str(n // 10) if n > 9 else "")
        for n in range(users)
    ]
    latency = Latency.of(
        UserLatency(user, None if dice.random() < 0.1 else (p50 := dice.lognormvariate(-2.4, 0.9)), p50 * 1.9)
        for user in people
        if (p50 := 0.1)
    )
    apps = [
        AppUse(hostile + slug, kind, dice.random() ** 3 * 3600 * 60, dice.randrange(300), hostile or title)
        for slug, title, kind in _APPS
    ]
    options = tuple(
        ParameterOption(value, hostile or value.title()) for value in ("small", "medium", "large")
    )
    parameters = [
        ParameterUse(
            hostile + "size",
            "string",
            hostile or "Machine size",
            {"small": 12, "medium": 7, "large": 0},
            options,
        ),
        ParameterUse(hostile + "gpu", "bool", hostile or "GPU", {"true": 3, "false": 16}),
        ParameterUse(
            "repo", "string", hostile or "Repository", {f"{hostile}git@example.com:{n}": 2 for n in range(9)}
        ),
    ]
    window = WindowUse(
        "7d",
        NOW - timedelta(days=7),
        NOW,
        users,
        sum(app.seconds for app in apps) * 0.8,
        apps,
        parameters,
        {user: dice.random() * 3600 * 20 for user in people},
        latency,
    )
    days = [max(1, users - dice.randrange(1 + users // 2)) for _ in range(6)]
    weeks: list[int | None] = [max(1, users + 4 - dice.randrange(8)) for _ in range(11)]
    key = TemplateKey(hostile or ("acme", "research")[number % 2], f"{hostile}template-{number:03}")
    return TemplateUse(key, [window], [max(1, users // 3), *days], [*weeks, None])


def _workspace(dice: random.Random, number: int, key: TemplateKey) -> Workspace:
    running = dice.random() < 0.6
    agent = Agent(
        str(number), "main", "connected" if dice.random() < 0.9 else "timeout", outdated=dice.random() < 0.1
    )
    return Workspace(
        str(number), "w", "ada", key, "running" if running else "stopped", agents=(agent,) if running else ()
    )
