"""Workdays of a generated world."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world

MONDAY = date(2026, 11, 16)
NIGHT = datetime(2026, 11, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def sydney_world() -> GeneratedWorld:
    """Return a world of users whose workday starts in the evening (UTC)."""
    world = generate_world(Size(templates=2, users=40))
    world.regions = [region for region in world.regions if region.name == "sydney"]
    return world


def active_masks(world: GeneratedWorld, day: date) -> Mapping[tuple[int, int], int]:
    return {(user_day.user, user_day.template): user_day.active_mask for user_day in world.usage(day)}


def test_workday_continues_past_midnight(sydney_world: GeneratedWorld) -> None:
    monday, tuesday = (
        active_masks(sydney_world, MONDAY),
        active_masks(sydney_world, MONDAY + timedelta(days=1)),
    )
    active_at_midnight = {key for key, minutes in monday.items() if minutes >> 1439}

    assert active_at_midnight
    assert active_at_midnight == {key for key, minutes in tuesday.items() if minutes & 1}


def test_daily_minutes_never_exceed_a_workday(sydney_world: GeneratedWorld) -> None:
    minutes_per_user = [
        minutes.bit_count() for minutes in active_masks(sydney_world, MONDAY + timedelta(days=1)).values()
    ]

    assert max(minutes_per_user) < 12 * 60


def test_workday_past_midnight_starts_no_second_build(sydney_world: GeneratedWorld) -> None:
    active_workspaces = {
        sydney_world.workspace_ids(template, user)[0]
        for (user, template), minutes in active_masks(sydney_world, NIGHT.date()).items()
        if minutes & 1
    }
    evening_builds, night_builds = (
        {build.workspace_id for build in sydney_world.builds(NIGHT + begin, NIGHT + end)}
        for begin, end in ((-3 * HOUR, -HOUR / 60), (-HOUR / 60, 9 * HOUR))
    )

    assert active_workspaces
    assert active_workspaces <= evening_builds
    assert active_workspaces.isdisjoint(night_builds)
