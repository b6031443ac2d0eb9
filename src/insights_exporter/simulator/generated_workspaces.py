"""Agents, prebuilt workspaces and parameter values of a generated world."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.simulator.incidents import Incident, latency_factor, unhealthy_apps
from insights_exporter.simulator.model import PREBUILDS_USER, Agent, Parameter, Template, Workspace
from insights_exporter.simulator.population import Region
from insights_exporter.simulator.seeded_random import hash64, uniform, weighted_choice

__all__ = ["CURRENT_VERSION", "OLD_VERSION", "generated_agent", "parameter_values", "prebuilt_workspaces"]

CURRENT_VERSION: Final = "v2.35.1+5e7d2c4"
OLD_VERSION: Final = "v2.31.0+1b2c3d4"

_PREBUILDS_PER_TEMPLATE: Final = 2


def prebuilt_workspaces(templates: Sequence[Template], now: datetime) -> Iterable[Workspace]:
    """Yield the prebuilt workspaces of every fourth template."""
    for index, template in enumerate(templates):
        health = {app.slug: "healthy" for app in template.apps}
        for number in range(_PREBUILDS_PER_TEMPLATE if index % 4 == 0 else 0):
            # The last digits exceed every user index, so the id differs from those of users' workspaces.
            suffix = f"-0000-4000-8000-{index:04x}ffff{number:04x}"
            yield Workspace(
                f"55555555{suffix}",
                f"prebuild-{index}-{number}",
                PREBUILDS_USER,
                template,
                "running",
                "start",
                max(template.created_at, now - timedelta(hours=6)),
                agents=(
                    Agent(
                        f"88888888{suffix}",
                        "main",
                        "connected",
                        CURRENT_VERSION,
                        "Embedded Relay",
                        5.0,
                        health,
                    ),
                ),
                is_prebuild=True,
                daily_cost=template.daily_cost,
            )


def generated_agent(  # noqa: PLR0913 - keyword only.
    agent_id: str,
    *,
    template: Template,
    region: Region,
    incidents: Sequence[Incident],
    now: datetime,
    keys: tuple[int, int, int],
) -> Agent:
    """Return the agent of a running workspace; ``keys`` are the seed and the indexes of user and template."""
    seed, user, template_index = keys
    connected = uniform(seed, 63, user, template_index) > 0.03
    relay_latency = None
    if connected:
        relay_latency = round(region.relay_latency_ms * (0.9 + 0.3 * uniform(seed, 64, user)), 3)
        relay_latency *= latency_factor(incidents, region.name, now)
    unhealthy = unhealthy_apps(incidents, now)
    return Agent(
        agent_id,
        "main",
        "connected" if connected else "disconnected",
        OLD_VERSION if uniform(seed, 65, user, template_index) < 0.08 else CURRENT_VERSION,
        region.relay,
        relay_latency,
        {app.slug: "unhealthy" if app.slug in unhealthy else "healthy" for app in template.apps},
    )


def parameter_values(seed: int, user: int, parameters: Sequence[Parameter], period: int) -> dict[str, str]:
    """Return the values that a user chooses in a period, by parameter name."""
    values = {}
    for index, parameter in enumerate(parameters):
        if parameter.type == "list(string)":
            selected = [
                option.value
                for number, option in enumerate(parameter.options[:-1])
                if uniform(seed, 75, user, index, period, number) < 0.5
            ]
            values[parameter.name] = json.dumps(selected, separators=(",", ":"))
        elif parameter.options:
            # The last option stays unused.
            options = parameter.options[:-1]
            values[parameter.name] = weighted_choice(options, seed, 71, user, index, period).value
        elif parameter.type == "bool":
            values[parameter.name] = "true" if uniform(seed, 72, user, index) < 0.3 else "false"
        elif parameter.type == "number":
            values[parameter.name] = str(1 << hash64(seed, 73, user, index, period) % 4)
        else:
            values[parameter.name] = (
                parameter.default if uniform(seed, 74, user, index) < 0.7 else f"team-{user % 5}"
            )
    return values
