"""Reports of a simulated deployment, in the process of the test."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import (
    FilterSettings,
    InsightsSettings,
    PrivacySettings,
    Settings,
    UsernameMode,
)
from insights_exporter.report import PeriodRequest, Report, create_report
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.in_process_session import in_process_session

__all__ = [
    "HASH_KEY",
    "NOW",
    "OCTOBER",
    "SMALL_SIZE",
    "create",
    "create_blocking",
    "create_everything_at",
    "deployment_of",
    "report_settings",
    "world_of",
]

NOW: Final = datetime(2026, 11, 2, 6, 5, tzinfo=UTC)
"""When the monthly job runs."""

SUMMER: Final = datetime(2026, 7, 6, 9, 0, tzinfo=UTC)
OCTOBER: Final = PeriodRequest(month="2026-10")
SMALL_SIZE: Final = Size(templates=5, users=14)
HASH_KEY: Final = LiteralSecret(Secret("0123456789abcdef"))


def deployment_of(
    size: Size = SMALL_SIZE, *, world: GeneratedWorld | None = None, **options: Any
) -> SimulatedDeployment:
    """Return a deployment that exists since summer; ``options`` replace those of the demo."""
    deployment = demo_deployment(size, now=lambda: NOW, world=world)
    deployment.options = replace(deployment.options, **options)
    create_everything_at(deployment, SUMMER)
    return deployment


def create_everything_at(deployment: SimulatedDeployment, moment: datetime) -> None:
    """Set the time at which all templates and accounts were created."""
    world = world_of(deployment)
    world.templates = tuple(replace(template, created_at=moment) for template in world.templates)
    world.users = tuple(replace(user, created_at=moment) for user in world.users)
    world.service_accounts = tuple(replace(user, created_at=moment) for user in world.service_accounts)


def world_of(deployment: SimulatedDeployment) -> GeneratedWorld:
    """Return the generated world of a deployment."""
    assert isinstance(deployment.world, GeneratedWorld)
    return deployment.world


def report_settings(
    *,
    token: str = "",
    privacy: PrivacySettings | None = None,
    filters: FilterSettings | None = None,
    utc_offset: int = 0,
) -> Settings:
    """Return settings for a simulated deployment."""
    coder = CODER_SETTINGS
    if token:
        coder = coder.model_copy(update={"token": LiteralSecret(Secret(token))})
    return Settings(
        coder=coder,
        privacy=privacy or PrivacySettings(users=UsernameMode.NAMED),
        filters=filters or FilterSettings(),
        insights=InsightsSettings(utc_offset=utc_offset),
    )


async def create(
    deployment: SimulatedDeployment,
    request: PeriodRequest = OCTOBER,
    settings: Settings | None = None,
    *,
    now: datetime = NOW,
) -> Report:
    """Return the report of a period at a time."""
    clock = FakeClock(now)
    deployment.now = clock.now
    settings = settings or report_settings()
    async with CoderClient(
        settings.coder, clock=clock, rng=Random(1), session=in_process_session(deployment)
    ) as client:
        return await create_report(client, settings, request, clock=clock)


def create_blocking(deployment: SimulatedDeployment, request: PeriodRequest = OCTOBER) -> Report:
    """Return a report from a function that is no coroutine; Playwright runs an event loop in its thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(create(deployment, request))).result()
