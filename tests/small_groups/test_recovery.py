"""What a reader can compute from published usage: never a number about fewer people than the minimum."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insights_exporter.small_groups import suppress_small_groups
from insights_exporter.snapshot import Insights, Snapshot
from tests.small_groups.adversary import NOW, UNLISTED, World, computable, published

USERS = [f"u{number}" for number in range(10)]
TEMPLATES = ["go", "java", "python", "rust", UNLISTED]
APPS = ["vscode", "jetbrains", "ssh", "cursor"]
MINIMUMS = st.integers(2, 4)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return usage of some templates and apps, each by a few or many of the users."""
    minutes = {}
    for template in draw(st.sets(st.sampled_from(TEMPLATES), min_size=1)):
        for app in draw(st.sets(st.sampled_from(APPS), min_size=1)):
            used = draw(st.sampled_from([10, 15, 60]))
            for user in draw(st.sets(st.sampled_from(USERS), min_size=1)):
                minutes[user, template, app] = used
    return World(minutes)


def visible_insights(world: World, minimum: int) -> Insights:
    """Return the insights of a world that may be shown."""
    snapshot = Snapshot(NOW, insights=world.insights())
    insights = suppress_small_groups(snapshot, minimum).snapshot.insights
    assert insights is not None
    return insights.value


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), minimum=MINIMUMS)
def test_published_usage_describes_enough_people(world: World, minimum: int) -> None:
    known = published(visible_insights(world, minimum))

    small = {cell for cell in known if world.seconds(cell) and len(world.people(cell)) < minimum}

    assert small == set()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), minimum=MINIMUMS)
def test_no_withheld_usage_of_few_people_follows_from_totals(world: World, minimum: int) -> None:
    known = published(visible_insights(world, minimum))

    recovered = [
        (template, app)
        for template, app in computable(world, known)
        if len(world.people((template, app))) < minimum
        # The only app of a template has the published seconds of the template.
        and world.seconds((template, app)) != known.get((template, ""))
    ]

    assert recovered == []


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), minimum=MINIMUMS)
def test_total_minus_published_cells_describes_enough_people(world: World, minimum: int) -> None:
    known = published(visible_insights(world, minimum))
    rests = {}
    for template in ("", *world.templates):
        cells = [(template, app) for app in world.apps]
        rests[template, "apps"] = known.get((template, "")), cells
    for app in ("", *world.apps):
        cells = [(template, app) for template in world.templates]
        rests["templates", app] = known.get(("", app)), cells

    exposed = []
    for name, (total, cells) in rests.items():
        hidden = [cell for cell in cells if cell not in known and world.seconds(cell)]
        people = set().union(*(world.people(cell) for cell in hidden)) if hidden else set()
        is_whole_row = total is not None and sum(map(world.seconds, hidden)) == total
        if total is not None and 0 < len(people) < minimum and not is_whole_row:
            exposed.append(name)

    assert exposed == []


@given(world=worlds())
def test_without_a_minimum_nothing_changes(world: World) -> None:
    snapshot = Snapshot(NOW, insights=world.insights())

    assert suppress_small_groups(snapshot, 1).snapshot is snapshot


def test_adversary_recovers_a_value_that_only_primary_suppression_withholds() -> None:
    world = World({(user, "go", "vscode"): 10 for user in USERS[:5]} | {("u8", "java", "vscode"): 7})
    insights = world.insights().value
    primary_only = replace(insights, templates=[one for one in insights.templates if one.key[1] == "go"])  # type: ignore[index]

    assert ("java", "vscode") in computable(world, published(primary_only))


@pytest.mark.parametrize("minimum", [2, 5])
def test_usage_of_many_people_stays_complete(minimum: int) -> None:
    world = World(
        {(user, template, "vscode"): 10 for user in USERS for template in ("go", "java")}
        | {(user, "go", "ssh"): 9 for user in USERS}
    )

    assert published(visible_insights(world, minimum)) == published(world.insights().value)
