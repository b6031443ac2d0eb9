"""A world that makes itself up is one that people could live in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from insights_exporter.simulator.generated import GeneratedWorld, Size, generate

MONDAY = date(2026, 11, 16)
NIGHT = datetime(2026, 11, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def far_away() -> GeneratedWorld:
    """People whose morning is an evening in UTC."""
    world = generate(Size(templates=2, users=40))
    world.regions = [one for one in world.regions if one.name == "sydney"]
    return world


def used(world: GeneratedWorld, day: date) -> Mapping[tuple[int, int], int]:
    return {(one.user, one.template): one.used for one in world.use(day)}


def test_work_goes_on_over_midnight(far_away: GeneratedWorld) -> None:
    before, after = used(far_away, MONDAY), used(far_away, MONDAY + timedelta(days=1))
    late = {place for place, minutes in before.items() if minutes >> 1439}

    assert late
    assert late == {place for place, minutes in after.items() if minutes & 1}


def test_nobody_works_longer_on_a_day_than_a_working_day(far_away: GeneratedWorld) -> None:
    spent = [minutes.bit_count() for minutes in used(far_away, MONDAY + timedelta(days=1)).values()]

    assert max(spent) < 12 * 60


def test_who_works_at_midnight_builds_no_workspace_then(far_away: GeneratedWorld) -> None:
    at_work = {
        far_away.workspace_ids(template, user)[0]
        for (user, template), minutes in used(far_away, NIGHT.date()).items()
        if minutes & 1
    }
    evening, night = (
        {one.workspace_id for one in far_away.builds(NIGHT + begin, NIGHT + end)}
        for begin, end in ((-3 * HOUR, -HOUR / 60), (-HOUR / 60, 9 * HOUR))
    )

    assert at_work
    assert at_work <= evening
    assert at_work.isdisjoint(night)
