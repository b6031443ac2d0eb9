"""What a fault leaves standing."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from insights_exporter.coder.version import ServerVersion
from insights_exporter.errors import (
    DeadlineExceeded,
    InsightsDisabled,
    TokenExpired,
)
from insights_exporter.snapshot import (
    Insights,
)
from tests.collectors.collecting import (
    HIDDEN,
    SERVER_ERROR,
    TODAY,
    YESTERDAY,
    Exporter,
    failing,
    use_of,
    window,
)
from tests.support.scripted import Used


async def test_fault_of_one_template_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Exporter("go", "rust")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("rust", "bob", TODAY, 60))
    await exporter.poll()
    exporter.coder.fault = failing(SERVER_ERROR, template="go", endpoint="activity")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("rust", "bob", TODAY, 60))
    with caplog.at_level(logging.WARNING):
        insights = await exporter.poll(after=300)
        await exporter.poll(after=300)

    assert window(use_of(insights, "go"), "today").seconds == 60
    assert window(use_of(insights, "rust"), "today").seconds == 120
    assert set(exporter.told.errors) == {("insights", "server_error")}
    assert [one.message for one in caplog.records] == ["collector_fault"]


async def test_template_that_keeps_failing_disappears_when_its_data_is_too_old() -> None:
    exporter = Exporter("go", "rust")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("rust", "bob", TODAY, 60))
    await exporter.poll()
    exporter.coder.fault = failing(SERVER_ERROR, template="go")
    for _ in range(6):
        kept = await exporter.poll(after=300)
    soon = await exporter.poll(after=300)
    for _ in range(18):
        lost = await exporter.poll(after=300)

    assert [one.window for one in use_of(kept, "go").windows] == ["today", "yesterday", "7d", "30d"]
    assert not {"today", "7d"} & {one.window for one in use_of(soon, "go").windows}
    assert use_of(lost, "go").totals is None
    # Yesterday, on which it was idle, needs no answer of its own.
    assert [one.window for one in use_of(lost, "go").windows] == ["yesterday"]
    assert len(use_of(lost, "rust").windows) == 4


async def test_day_is_not_closed_on_an_answer_from_before_its_end() -> None:
    """The question that closes the day fails; the total waits for it and does not take the older answer."""
    exporter = Exporter("go", now=TODAY + timedelta(hours=2, minutes=55, seconds=20))
    exporter.coder.use(Used("go", "ada", YESTERDAY, 60))
    await exporter.poll()
    exporter.coder.use(Used("go", "ada", YESTERDAY, 600))
    exporter.coder.fault = failing(SERVER_ERROR, template="go")
    await exporter.poll(after=300)
    exporter.coder.fault = lambda _: None
    totals = use_of(await exporter.poll(after=300), "go").totals

    assert totals is not None
    assert totals.seconds == 660


async def test_template_deleted_while_we_poll_is_counted_once() -> None:
    exporter = Exporter("go", "rust")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("rust", "bob", TODAY, 60))
    exporter.coder.fault = failing(HIDDEN, template="go")
    insights = await exporter.poll()

    assert exporter.told.errors == [("insights", "not_permitted")]
    assert len(use_of(insights, "rust").windows) == 4


async def test_poll_ends_early_when_its_time_is_over() -> None:
    """What was read is published, what was not stands as it was, and the fault counts once."""
    exporter = Exporter("go", "rust")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("rust", "bob", TODAY, 60))
    await exporter.poll()
    late = DeadlineExceeded("too late", endpoint="/insights/user-latency")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("rust", "bob", TODAY, 60))
    exporter.coder.fault = failing(late, endpoint="latency")
    insights = await exporter.poll(after=300)

    assert window(insights.deployment, "today").seconds == 240
    assert len(use_of(insights, "go").windows) == 4
    assert exporter.told.errors == [("insights", "deadline")]


async def test_nothing_read_is_an_error() -> None:
    exporter = Exporter("go")
    expired = TokenExpired("make a new one", endpoint="/insights/templates", status=401)
    exporter.coder.fault = lambda _: expired
    with pytest.raises(TokenExpired):
        await exporter.poll()

    assert len(exporter.coder.calls) == 1


async def test_server_that_keeps_failing_is_left_alone() -> None:
    names = [f"t{number}" for number in range(50)]
    exporter = Exporter(*names)
    for name in names:
        exporter.coder.use(Used(name, "ada", TODAY, 60))
    exporter.coder.fault = lambda call: SERVER_ERROR if call.template else None
    await exporter.poll()

    # Three questions each of five templates, at most, out of fifty.
    assert len([call for call in exporter.coder.calls if call.template]) <= 3 * 5


@pytest.mark.parametrize("failing_ones", [1, 4, 12])
async def test_healthy_templates_keep_moving_however_many_others_fail(failing_ones: int) -> None:
    """For two hours some templates give no answer, and all of them come before the healthy one."""
    sick = [f"a{number}" for number in range(failing_ones)]
    exporter = Exporter(*sick, "healthy")
    for name in (*sick, "healthy"):
        exporter.coder.use(Used(name, "ada", TODAY - timedelta(days=3), 60), Used(name, "ada", TODAY, 60))
    await exporter.poll()
    exporter.coder.fault = lambda call: SERVER_ERROR if call.template in sick else None
    for turn in range(25):
        exporter.coder.use(Used("healthy", "ada", exporter.clock.now(), 60))
        insights = await exporter.poll(after=300)
        use = use_of(insights, "healthy")

        assert len(use.windows) == 4
        assert use.totals is not None
        # A poll gives up after five that fail, and the next one comes to five others.
        assert use.totals.seconds == 120 + 60 * (turn + 1) or turn < failing_ones / 5
    # Of the others only what cannot have moved is still known.
    for name in sick:
        assert [one.window for one in use_of(insights, name).windows] == ["yesterday"]
    exporter.coder.fault = lambda _: None
    healed = await exporter.poll(after=300)

    assert all(len(use_of(healed, name).windows) == 4 for name in sick)


async def test_switched_off_statistics_are_told() -> None:
    exporter = Exporter("go")
    await exporter.poll()
    exporter.coder.fault = lambda _: InsightsDisabled("off", endpoint="/insights/templates", status=404)
    insights = await exporter.poll(after=300)

    assert insights == Insights(deployment=insights.deployment, collection_enabled=False)
    assert insights.deployment.windows == ()
    assert exporter.told.errors == []


async def test_old_server_does_not_tell_whether_statistics_are_on() -> None:
    exporter = Exporter("go")
    exporter.coder.version = ServerVersion(2, 29, 0)

    assert (await exporter.poll()).collection_enabled is None


async def test_unused_apps_of_totals_keep_their_series() -> None:
    """A total that was served is served on, although no window holds its app any more."""
    exporter = Exporter("go")
    exporter.coder.use(Used("go", "ada", TODAY - timedelta(days=40), 60, "jupyter"))
    totals = use_of(await exporter.poll(), "go").totals

    assert totals is not None
    assert totals.apps["jupyter", "app"] == 60
