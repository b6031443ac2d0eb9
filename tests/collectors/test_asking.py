"""What is asked, and how often."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from insights_exporter.coder import responses
from insights_exporter.errors import (
    NotPermitted,
)
from tests.collectors.collecting import (
    HIDDEN,
    NOW,
    SERVER_ERROR,
    TODAY,
    YESTERDAY,
    Exporter,
    failing,
    use_of,
    window,
)
from tests.support.scripted import Used


async def test_calls_stay_far_below_the_naive_plan() -> None:
    """500 templates, 50 of them in use all day: at most a fifteenth of every window x endpoint x template."""
    exporter = Exporter(*(f"t{number}" for number in range(500)))
    for number in range(50):
        for day in range(-40, 1):
            exporter.coder.use(Used(f"t{number}", "ada", TODAY + timedelta(days=day, hours=1)))
    await exporter.poll()
    per_poll = []
    for _ in range(12):
        await exporter.poll(after=300)
        per_poll.append(len(exporter.coder.calls))
    naive = 4 * 3 * 500

    assert max(per_poll) * 15 <= naive
    assert sum(per_poll) * 15 <= 12 * naive


async def test_a_day_of_polls_stays_far_below_the_naive_plan() -> None:
    """Midnight, when every range moves, and the closing of a day are no exception within their hour."""
    exporter = Exporter(*(f"t{number}" for number in range(100)), now=TODAY + timedelta(hours=22))
    for number in range(10):
        for hour in range(-40 * 24, 48, 7):
            exporter.coder.use(Used(f"t{number}", "ada", TODAY + timedelta(hours=hour)))
    await exporter.poll()
    hours = []
    for _ in range(8):
        calls = 0
        for _ in range(12):
            await exporter.poll(after=300)
            calls += len(exporter.coder.calls)
        hours.append(calls)

    assert max(hours) * 15 <= 12 * 4 * 3 * 100


async def test_everything_is_complete_after_the_first_poll() -> None:
    exporter = Exporter("go", "rust")
    for day in range(-60, 1):
        exporter.coder.use(Used("go", "ada", TODAY + timedelta(days=day, hours=1)))
    insights = await exporter.poll()

    for use in (insights.deployment, *insights.templates):
        assert [one.window for one in use.windows] == ["today", "yesterday", "7d", "30d"]
        assert None not in use.days
        assert None not in use.weeks
        assert use.totals is not None


async def test_what_cannot_have_changed_is_not_asked_again() -> None:
    """A template used yesterday and not today has no number that moves within the hour."""
    exporter = Exporter("go")
    exporter.coder.use(Used("go", "ada", YESTERDAY, 60))
    await exporter.poll()
    asked = []
    for _ in range(12):
        await exporter.poll(after=300)
        asked += [call.endpoint for call in exporter.coder.calls if call.template == "go"]

    # Names of apps are looked up anew once an hour: in the windows yesterday, 7d and 30d.
    assert sorted(asked) == ["report", "report", "report"]


async def test_time_of_earlier_days_is_added_to_that_of_today() -> None:
    """A week's time per user moves with today's alone, so only that is asked for."""
    exporter = Exporter("go")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("go", "bo", YESTERDAY, 600))
    await exporter.poll()
    exporter.coder.use(Used("go", "ada", TODAY + timedelta(hours=1), 120), Used("go", "bo", TODAY, 5))
    use = use_of(await exporter.poll(after=300), "go")
    asked = [call.start for call in exporter.coder.calls if call.endpoint == "activity"]

    assert asked == [TODAY, TODAY]
    assert [one.activity for one in use.windows] == [
        {"ada": 180, "bo": 5},
        {"bo": 600},
        {"ada": 180, "bo": 605},
        {"ada": 180, "bo": 605},
    ]
    assert [one.seconds for one in use.windows] == [185, 600, 785, 785]


async def test_time_of_a_range_with_a_missing_day_is_unknown() -> None:
    """Less than everything would look as if people had worked less."""
    exporter = Exporter("go")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("go", "ada", YESTERDAY, 600))
    week = TODAY - timedelta(days=6)
    exporter.coder.fault = failing(SERVER_ERROR, endpoint="activity", template="go", start=week)
    use = use_of(await exporter.poll(), "go")

    assert [one.window for one in use.windows] == ["today", "yesterday", "30d"]


async def test_slow_questions_spread_over_the_hour() -> None:
    """All templates were first asked at the same moment, and still they do not come back together."""
    exporter = Exporter(*(f"t{number}" for number in range(120)))
    for number in range(120):
        exporter.coder.use(Used(f"t{number}", "ada", YESTERDAY, 60))
    await exporter.poll()
    per_poll = []
    for _ in range(12):
        await exporter.poll(after=300)
        per_poll.append(len([call for call in exporter.coder.calls if call.template]))

    assert sum(per_poll) == 120 * 3
    assert max(per_poll) <= 3 * 120 / 12 * 2.5


async def test_late_data_of_yesterday_arrives() -> None:
    """It was rolled up an hour after midnight, and counts for yesterday."""
    exporter = Exporter("go", now=TODAY + timedelta(minutes=30, seconds=20))
    late = TODAY + timedelta(hours=1)
    exporter.coder.use(
        Used("go", "ada", YESTERDAY + timedelta(hours=9), 60),
        Used("go", "ada", YESTERDAY + timedelta(hours=23), 600, seen_at=late),
    )
    before = use_of(await exporter.poll(), "go")
    after = use_of(await exporter.poll(after=3600), "go")

    assert window(before, "yesterday").seconds == 60
    assert window(after, "yesterday").seconds == 660
    assert window(after, "7d").seconds == 660


async def test_template_that_begins_to_be_used_shows_in_every_window_at_once() -> None:
    exporter = Exporter("go")
    await exporter.poll()
    exporter.coder.use(Used("go", "ada", NOW + timedelta(seconds=60), 60))
    use = use_of(await exporter.poll(after=300), "go")

    assert [one.seconds for one in use.windows] == [60, 0, 60, 60]
    assert use.days[0] == 1


async def test_unchanged_windows_stay_the_same_objects() -> None:
    """Also where Coder was asked again and said the same."""
    exporter = Exporter("go", "idle")
    exporter.coder.use(Used("go", "ada", TODAY, 60, latency=20))
    before = await exporter.poll()
    after = await exporter.poll(after=300)

    for name in ("go", "idle"):
        for old, new in zip(use_of(before, name).windows, use_of(after, name).windows, strict=True):
            assert old is new
        assert use_of(before, name).totals is use_of(after, name).totals


async def test_parameters_stay_the_same_objects_while_users_work_on() -> None:
    exporter = Exporter("go")
    eu = responses.ParameterUsage(
        name="region", type="string", template_ids=["go"], values=[responses.ParameterValue("eu", 2)]
    )
    exporter.coder.chosen["go"] = [(TODAY, eu)]
    exporter.coder.use(Used("go", "ada", TODAY, 60))
    before = window(use_of(await exporter.poll(), "go"), "today")
    exporter.coder.use(Used("go", "ada", NOW - timedelta(minutes=5), 60))
    after = window(use_of(await exporter.poll(after=300), "go"), "today")
    exporter.coder.chosen["go"] = [(TODAY, eu), (NOW, msgspec.structs.replace(eu, description="where"))]
    moved = window(use_of(await exporter.poll(after=300), "go"), "today")

    assert after.seconds == before.seconds + 60
    assert after.parameters is before.parameters
    assert [one.values for one in moved.parameters] == [{"eu": 4}]


async def test_server_time_decides_the_ranges() -> None:
    """Our clock is ahead: what we take for the next hour lies too far in the server's future."""
    exporter = Exporter("go", now=TODAY + timedelta(hours=14, seconds=30))
    exporter.clock.advance(-60)
    insights = await exporter.poll()

    assert window(insights.deployment, "today").end == TODAY + timedelta(hours=14)


# Permission for single templates only ---------------------------------------------------------------------


def allow_only(exporter: Exporter, *names: str) -> None:
    """Let the token see single templates, and never the deployment."""
    exporter.coder.fault = lambda call: None if call.template in names else HIDDEN


async def test_token_of_an_organization_asks_for_single_templates() -> None:
    exporter = Exporter("go", "foreign")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("foreign", "bob", TODAY, 60))
    allow_only(exporter, "go")
    insights = await exporter.poll()

    assert [one.key.template_name for one in insights.templates if one.key] == ["go"]
    assert window(use_of(insights, "go"), "30d").seconds == 60
    assert insights.deployment.windows == ()
    assert insights.deployment.totals is None
    assert ("insights", "not_permitted") in exporter.told.errors


async def test_templates_that_are_hidden_are_tried_again_once_an_hour() -> None:
    exporter = Exporter("go", "foreign")
    allow_only(exporter, "go")
    await exporter.poll()
    tries = 0
    for _ in range(12):
        await exporter.poll(after=300)
        tries += len([call for call in exporter.coder.calls if call.template == "foreign"])

    assert tries == 1


async def test_single_templates_have_exact_totals() -> None:
    exporter = Exporter("go", now=TODAY + timedelta(hours=22, seconds=20))
    allow_only(exporter, "go")
    for hour in range(-100, 36):
        exporter.coder.use(Used("go", "ada", TODAY + timedelta(hours=hour), 60))
    for _ in range(12 * 12):
        totals = use_of(await exporter.poll(after=300), "go").totals
    expected = sum(one.seconds for one in exporter.coder.uses["go"] if one.at <= exporter.clock.now())

    assert totals is not None
    assert totals.seconds == expected


async def test_permission_that_comes_back_brings_the_deployment_back() -> None:
    exporter = Exporter("go")
    exporter.coder.use(Used("go", "ada", TODAY, 60))
    allow_only(exporter)
    with pytest.raises(NotPermitted):
        await exporter.poll()
    exporter.coder.fault = lambda _: None
    insights = await exporter.poll(after=300)

    assert window(insights.deployment, "today").seconds == 60
    assert window(use_of(insights, "go"), "today").seconds == 60
