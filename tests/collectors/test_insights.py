"""What is asked, what it comes to, and what a fault leaves standing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.coder import responses
from insights_exporter.coder.version import ServerVersion
from insights_exporter.collectors import InsightsCollector, InsightsState
from insights_exporter.errors import (
    DeadlineExceeded,
    InsightsDisabled,
    NotPermitted,
    ServerError,
    TokenExpired,
)
from insights_exporter.filters import Filters
from insights_exporter.settings import FilterSettings, InsightsSettings, NameFilter, PollSettings
from insights_exporter.snapshot import (
    Account,
    Agent,
    App,
    Insights,
    Inventory,
    Parameter,
    ParameterOption,
    Template,
    TemplateKey,
    TemplateUse,
    WindowUse,
    Workspace,
)
from tests.support.clock import FakeClock
from tests.support.scripted import Call, ScriptedCoder, Used
from tests.support.told import Told

NOW = datetime(2026, 11, 24, 14, 5, 20, tzinfo=UTC)
TODAY = datetime(2026, 11, 24, tzinfo=UTC)
YESTERDAY = TODAY - timedelta(days=1)


class Exporter:
    """An insights collector with everything around it."""

    def __init__(
        self,
        *names: str,
        now: datetime = NOW,
        insights: InsightsSettings | None = None,
        filters: FilterSettings | None = None,
    ) -> None:
        self.clock = FakeClock(now)
        self.coder = ScriptedCoder(self.clock)
        self.told = Told()
        self.state = InsightsState()
        self.inventory = Inventory([Template(name, TemplateKey("acme", name)) for name in names])
        self.insights = insights or InsightsSettings()
        self.filters = filters or FilterSettings()

    async def poll(self, after: float = 0) -> Insights:
        """Let some time pass, and collect."""
        self.clock.advance(after)
        self.coder.calls.clear()
        collector = InsightsCollector(
            self.insights,
            poll=PollSettings(),
            filters=Filters(self.filters),
            telemetry=self.told,
            state=self.state,
        )
        collected = await collector.collect(self.coder, now=self.clock.now(), inventory=self.inventory)
        return collected.value


def use_of(insights: Insights, name: str) -> TemplateUse:
    return next(one for one in insights.templates if one.key and one.key.template_name == name)


def window(use: TemplateUse, name: str) -> WindowUse:
    return next(one for one in use.windows if one.window == name)


def failing(error: Exception, **where: object) -> Callable[[Call], Exception | None]:
    """Fail each call that has these traits."""

    def fault(call: Call) -> Exception | None:
        return error if all(getattr(call, key) == value for key, value in where.items()) else None

    return fault


SERVER_ERROR = ServerError("it broke", endpoint="/insights/templates", status=500)
HIDDEN = NotPermitted("not for you", endpoint="/insights/templates", status=404)


# Numbers --------------------------------------------------------------------------------------------------


async def test_each_window_has_the_numbers_of_its_range() -> None:
    exporter = Exporter("go")
    exporter.coder.use(
        Used("go", "ada", TODAY + timedelta(hours=9), 600, "jupyter", latency=40),
        Used("go", "bob", YESTERDAY + timedelta(hours=9), 1200, latency=-1),
        Used("go", "cy", TODAY - timedelta(days=20), 60),
    )
    use = use_of(await exporter.poll(), "go")

    assert [one.active_users for one in use.windows] == [1, 1, 2, 3]
    assert [one.seconds for one in use.windows] == [600, 1200, 1800, 1860]
    week = window(use, "7d")
    assert week.activity == {"ada": 600, "bob": 1200}
    assert [(one.username, one.p50) for one in week.latency.rows()] == [("ada", 0.04), ("bob", None)]
    assert use.days == (1, 1, 0, 0, 0, 0, 0)
    assert use.weeks == (0, 0, 1, *(0,) * 9)


async def test_idle_template_is_zero_without_a_question() -> None:
    exporter = Exporter("go", "idle")
    exporter.coder.use(Used("go", "ada", TODAY + timedelta(hours=9)))
    use = use_of(await exporter.poll(), "idle")

    assert {call.template for call in exporter.coder.calls} == {"", "go"}
    assert [(one.active_users, one.seconds) for one in use.windows] == [(0, 0.0)] * 4
    assert {app.slug for app in use.windows[0].apps} == {
        "vscode",
        "jetbrains",
        "reconnecting-pty",
        "ssh",
        "sftp",
    }
    assert use.days == (0,) * 7
    assert use.weeks == (0,) * 12
    assert use.totals is not None
    assert set(use.totals.apps.values()) == {0.0}


async def test_template_that_was_only_built_has_its_parameters() -> None:
    """Nobody used it, but its workspaces were built with values."""
    exporter = Exporter("go")
    built = responses.ParameterUsage(
        name="region",
        type="string",
        template_ids=["go"],
        values=[responses.ParameterValue("eu", 2)],
    )
    exporter.coder.chosen["go"] = [(TODAY + timedelta(hours=1), built)]
    use = use_of(await exporter.poll(), "go")

    assert [one.values for one in window(use, "today").parameters] == [{"eu": 2}]
    assert {call.endpoint for call in exporter.coder.calls if call.template} == {"report"}


async def test_declared_options_that_nobody_chose_are_zero() -> None:
    exporter = Exporter()
    declared = Parameter("region", "string", options=(ParameterOption("eu", "EU"), ParameterOption("us")))
    exporter.inventory = Inventory([Template("go", TemplateKey("acme", "go"), parameters=(declared,))])
    chosen = responses.ParameterUsage(
        name="region",
        type="string",
        template_ids=["go"],
        values=[responses.ParameterValue("eu", 2), responses.ParameterValue("old", 1)],
    )
    exporter.coder.chosen["go"] = [(TODAY + timedelta(hours=1), chosen)]
    use = use_of(await exporter.poll(), "go")

    assert [one.values for one in window(use, "today").parameters] == [{"eu": 2, "us": 0, "old": 1}]
    assert [one.values for one in window(use, "yesterday").parameters] == [{"eu": 0, "us": 0}]


async def test_several_declarations_of_a_parameter_count_together() -> None:
    exporter = Exporter("go")
    one = responses.ParameterUsage(
        name="region", type="string", template_ids=["go"], values=[responses.ParameterValue("eu", 2)]
    )
    other = responses.ParameterUsage(
        name="region",
        type="string",
        description="where it runs",
        template_ids=["go"],
        values=[responses.ParameterValue("eu", 1), responses.ParameterValue("", 4)],
    )
    exporter.coder.chosen["go"] = [(TODAY, one), (TODAY, other)]
    use = use_of(await exporter.poll(), "go")

    assert [one.values for one in window(use, "today").parameters] == [{"eu": 3, "": 4}]


async def test_each_of_several_chosen_options_counts() -> None:
    """A list with options arrives as one text; a workspace that chose two of them counts for both."""
    exporter = Exporter()
    options = tuple(ParameterOption(one) for one in ("go", "rust", "zig"))
    declared = Parameter("tools", "list(string)", options=options)
    exporter.inventory = Inventory([Template("go", TemplateKey("acme", "go"), parameters=(declared,))])
    chosen = responses.ParameterUsage(
        name="tools",
        type="list(string)",
        template_ids=["go"],
        values=[responses.ParameterValue('["go","rust"]', 2), responses.ParameterValue("broken", 1)],
    )
    exporter.coder.chosen["go"] = [(TODAY, chosen)]
    use = use_of(await exporter.poll(), "go")

    assert [one.values for one in window(use, "today").parameters] == [
        {"go": 2, "rust": 2, "zig": 0, "broken": 1}
    ]


async def test_known_apps_without_use_are_zero() -> None:
    """Agents offer them, or they were used in another window; a link is no app whose use is measured."""
    exporter = Exporter("go")
    apps = (App("grafana", "Grafana", "/g.svg"), App("wiki", external=True))
    agent = Agent("a", "main", "connected", apps=apps)
    exporter.inventory = replace(
        exporter.inventory,
        workspaces=[Workspace("w", "dev", "ada", TemplateKey("acme", "go"), "running", agents=(agent,))],
    )
    exporter.coder.use(Used("go", "ada", YESTERDAY, 60, "jupyter"))
    today = window(use_of(await exporter.poll(), "go"), "today")
    unused = {app.slug: (app.type, app.seconds, app.opens) for app in today.apps if app.type == "app"}

    assert unused == {"grafana": ("app", 0, 0), "jupyter": ("app", 0, 0)}


async def test_two_apps_of_one_slug_are_one() -> None:
    exporter = Exporter("go")
    exporter.coder.use(Used("go", "ada", TODAY))
    exporter.coder.extra_apps["go"] = [
        responses.AppUsage("code", 60, "app", "Code", "/old.svg", 1),
        responses.AppUsage("code", 120, "app", "Code 2", "/new.svg", 2),
    ]
    use = use_of(await exporter.poll(), "go")
    found = [app for app in window(use, "today").apps if app.slug == "code"]

    assert [(app.seconds, app.opens, app.display_name) for app in found] == [(180, 3, "Code 2")]


async def test_two_accounts_of_one_name_are_one_user() -> None:
    """One was deleted, and its name given to another."""
    exporter = Exporter("go")
    exporter.coder.accounts = [
        responses.User("id-1", "ada"),
        responses.User("id-2", "ada"),
    ]
    exporter.coder.use(
        Used("go", "id-1", TODAY, 60, latency=30),
        Used("go", "id-2", TODAY, 120, latency=50),
    )
    use = use_of(await exporter.poll(), "go")

    assert window(use, "today").activity == {"ada": 180}
    assert [(one.username, one.p50) for one in window(use, "today").latency.rows()] == [("ada", 0.05)]
    assert use.totals is not None
    assert use.totals.users == {"ada": 180}


async def test_user_without_a_name_goes_by_the_account_or_the_id() -> None:
    exporter = Exporter("go")
    exporter.inventory = replace(exporter.inventory, users=[Account("id-1", "ada")])
    exporter.coder.accounts = [responses.User("id-1", ""), responses.User("id-2", "")]
    exporter.coder.use(Used("go", "id-1", TODAY, 60), Used("go", "id-2", TODAY, 120))
    use = use_of(await exporter.poll(), "go")

    assert window(use, "today").activity == {"ada": 60, "id-2": 120}
    assert use.totals is not None
    assert use.totals.users == {"ada": 60, "id-2": 120}


async def test_users_that_are_left_out_count_in_sums() -> None:
    exporter = Exporter("go", filters=FilterSettings(users=NameFilter(deny=("svc-*",))))
    exporter.coder.use(Used("go", "ada", TODAY, 60, latency=20), Used("go", "svc-ci", TODAY, 120, latency=20))
    use = use_of(await exporter.poll(), "go")
    today = window(use, "today")

    assert today.activity == {"ada": 60}
    assert list(today.latency.users) == ["ada"]
    assert (today.active_users, today.seconds) == (2, 180)
    assert use.totals is not None
    assert (use.totals.users, use.totals.seconds) == ({"ada": 60}, 180)


async def test_usage_in_templates_that_are_not_exported_counts_for_the_deployment() -> None:
    exporter = Exporter("go")
    exporter.coder.use(Used("go", "ada", TODAY, 60), Used("secret", "ada", TODAY, 120))
    insights = await exporter.poll()

    assert [one.key.template_name for one in insights.templates if one.key] == ["go"]
    assert window(insights.deployment, "today").seconds == 180


# Calls ----------------------------------------------------------------------------------------------------


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


async def test_somebody_renamed_today_is_one_user_of_the_week() -> None:
    exporter = Exporter("go")
    exporter.coder.accounts = [responses.User("id-1", "ada")]
    exporter.coder.use(Used("go", "id-1", YESTERDAY, 600))
    await exporter.poll()
    exporter.coder.accounts = [responses.User("id-1", "ada-lovelace")]
    exporter.coder.use(Used("go", "id-1", TODAY, 60))
    use = use_of(await exporter.poll(after=300), "go")

    assert window(use, "7d").activity == {"ada-lovelace": 660}


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


async def test_server_time_decides_the_ranges() -> None:
    """Our clock is ahead: what we take for the next hour lies too far in the server's future."""
    exporter = Exporter("go", now=TODAY + timedelta(hours=14, seconds=30))
    exporter.clock.advance(-60)
    insights = await exporter.poll()

    assert window(insights.deployment, "today").end == TODAY + timedelta(hours=14)


# Faults ---------------------------------------------------------------------------------------------------


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


# New things -----------------------------------------------------------------------------------------------


async def test_new_template_begins_at_zero() -> None:
    """It did not exist in the poll before, so its whole total is new to Prometheus."""
    exporter = Exporter("go")
    await exporter.poll()
    born = Template("new", TemplateKey("acme", "new"), created_at=NOW + timedelta(seconds=30))
    exporter.inventory = Inventory([*exporter.inventory.templates, born])
    exporter.coder.use(Used("new", "ada", NOW + timedelta(seconds=60), 60))
    first = use_of(await exporter.poll(after=300), "new").totals
    second = use_of(await exporter.poll(after=300), "new").totals

    assert first is not None
    assert second is not None
    assert (first.seconds, first.users) == (0, {"ada": 0})
    assert (second.seconds, second.users) == (60, {"ada": 60})


async def test_old_template_that_comes_into_sight_shows_its_total_at_once() -> None:
    """Its total is no news: a 0 before it would look as if all of it had been used just now."""
    exporter = Exporter("go")
    exporter.coder.use(Used("old", "ada", YESTERDAY, 60))
    await exporter.poll()
    old = Template("old", TemplateKey("acme", "old"), created_at=NOW - timedelta(days=300))
    exporter.inventory = Inventory([*exporter.inventory.templates, old])
    totals = use_of(await exporter.poll(after=300), "old").totals

    assert totals is not None
    assert totals.seconds == 60


async def test_renamed_user_keeps_the_total() -> None:
    exporter = Exporter("go")
    exporter.coder.accounts = [responses.User("id-1", "ada")]
    exporter.coder.use(Used("go", "id-1", TODAY, 60))
    await exporter.poll()
    exporter.coder.accounts = [responses.User("id-1", "ada-lovelace")]
    exporter.coder.use(Used("go", "id-1", TODAY, 60))
    totals = use_of(await exporter.poll(after=300), "go").totals

    assert totals is not None
    assert totals.users == {"ada-lovelace": 120}
