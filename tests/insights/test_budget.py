"""Coder's time is limited: what waits, for how long, and that the numbers stay true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.config.settings import InsightsSettings, PollSettings
from insights_exporter.insights.budget import ApiTimeBudget
from insights_exporter.snapshot import Insights
from tests.insights.harness import NOW, TODAY, InsightsHarness, usage_of, window
from tests.support.scripted_coder import ApiCall, UsageEvent

TEMPLATES = tuple(f"t{number}" for number in range(6))


def busy_harness(
    *,
    now_offset: timedelta = timedelta(),
    days: int = 40,
    windows: tuple[str, ...] = InsightsSettings().windows,
) -> InsightsHarness:
    """Return a harness of templates that are all in use: each has one user of its own, and one of all."""
    harness = InsightsHarness(*TEMPLATES, now=NOW + now_offset, insights=InsightsSettings(windows=windows))
    for name in TEMPLATES:
        for day in range(days):
            used_at = TODAY - timedelta(days=day)
            harness.coder.add_usage(
                UsageEvent(name, f"user-of-{name}", used_at, latency=20),
                UsageEvent(name, "ada", used_at, latency=30),
            )
    return harness


async def work(harness: InsightsHarness, polls: int) -> list[Insights]:
    """Poll every five minutes while all templates are used."""
    collected = []
    for _ in range(polls):
        used_at = harness.clock.now() + timedelta(seconds=60)
        for name in TEMPLATES:
            harness.coder.add_usage(UsageEvent(name, "ada", used_at, latency=30))
        collected.append(await harness.poll(after=300))
    return collected


def seconds_today(insights: Insights) -> list[float]:
    return [window(usage, "today").seconds for usage in insights.templates]


# The budget


@given(
    polls=st.lists(
        st.tuples(st.floats(1, 600), st.lists(st.floats(0.01, 20), max_size=40)), min_size=1, max_size=30
    )
)
def test_requests_that_can_wait_keep_within_the_budget(polls: Sequence[tuple[float, list[float]]]) -> None:
    budget, elapsed, spent = ApiTimeBudget(0.1, max_debt=30), 0.0, 0.0
    budget.fill(elapsed, is_warm=True)
    for seconds, requests in polls:
        elapsed += seconds
        budget.fill(elapsed, is_warm=True)
        for duration in requests:
            if not budget.is_used_up:
                budget.request_finished("/insights/templates", "200", duration)
                spent += duration

    # The budget starts with those of an hour. One request can exceed it.
    assert spent <= 0.1 * (3600 + elapsed) + 20


def test_budget_fills_faster_while_warming_up() -> None:
    budget = ApiTimeBudget(0.1, max_debt=30)
    budget.fill(0, is_warm=False)
    budget.request_finished("/insights/templates", "200", 360)
    budget.fill(100, is_warm=False)

    assert budget.seconds == 50


def test_debt_beyond_three_polls_is_cancelled() -> None:
    """After an overload, requests continue as soon as the budget covers them again."""
    budget = ApiTimeBudget.create(PollSettings())
    budget.fill(0, is_warm=True)
    budget.request_finished("/insights/templates", "200", 10_000)
    budget.fill(3 * 300, is_warm=True)
    is_used_up = budget.is_used_up
    budget.fill(3 * 300 + 1, is_warm=True)

    assert is_used_up
    assert not budget.is_used_up


# Data of today


async def test_within_the_budget_every_poll_has_current_data() -> None:
    harness = busy_harness()
    await harness.poll()
    *_, insights = await work(harness, 3)

    assert insights.postponed_requests == 0
    assert insights.windows_updated_at["today"] == harness.clock.now()
    assert seconds_today(insights) == [120 + 3 * 60] * len(TEMPLATES)


async def test_today_of_templates_waits_for_at_most_four_polls() -> None:
    """Data must not expire after ``poll.max_staleness``, so it is refreshed two polls before."""
    harness = busy_harness()
    await harness.poll()
    harness.api_time.used_up = True
    ages = []
    for _ in range(12):
        [insights] = await work(harness, 1)
        ages.append((harness.clock.now() - insights.windows_updated_at["today"]).total_seconds() / 300)
        assert [len(usage.windows) for usage in insights.templates] == [4] * len(TEMPLATES)
        assert insights.pending_totals == {}

    assert max(ages) == 3
    assert ages == [1, 2, 3, 0] * 3


async def test_postponed_requests_are_counted() -> None:
    harness = busy_harness(windows=("today",))
    await harness.poll()
    harness.api_time.used_up = True
    counts = [insights.postponed_requests for insights in await work(harness, 4)]

    # The report, the activity and the latency of each template.
    assert counts == [3 * len(TEMPLATES)] * 3 + [0]


async def test_numbers_of_a_window_have_the_same_age() -> None:
    """Seconds of apps, of users, and totals grow together."""
    harness = busy_harness()
    await harness.poll()
    harness.api_time.used_up = True
    for insights in await work(harness, 9):
        for usage in insights.templates:
            today, totals = window(usage, "today"), usage.totals
            assert totals is not None
            assert sum(app.seconds for app in today.apps) == today.seconds == sum(today.activity.values())
            assert sum(totals.apps.values()) == totals.seconds == sum(totals.users.values())
            assert window(usage, "7d").seconds == today.seconds + 6 * 120


async def test_oldest_data_is_refreshed_first() -> None:
    """The budget of each poll suffices for a part of the templates."""
    harness = busy_harness()
    await harness.poll()
    requested: list[str] = []
    for _ in range(len(TEMPLATES) // 3):
        reports = 0

        def use_up(call: object) -> None:
            nonlocal reports
            reports += getattr(call, "endpoint", "") == "report" and bool(getattr(call, "template", ""))
            harness.api_time.used_up = reports >= 3

        harness.coder.error_for = use_up
        harness.api_time.used_up = False
        await work(harness, 1)
        requested += sorted(
            call.template
            for call in harness.coder.calls
            if call.endpoint == "report" and call.template and call.start == TODAY
        )

    assert sorted(requested) == sorted(TEMPLATES)


async def test_deployment_is_current_in_every_poll() -> None:
    harness = busy_harness()
    await harness.poll()
    harness.api_time.used_up = True
    seconds = [window(insights.deployment, "today").seconds for insights in await work(harness, 5)]

    assert [after - before for before, after in pairwise(seconds)] == [60 * len(TEMPLATES)] * 4


async def test_newly_used_template_does_not_wait() -> None:
    harness = busy_harness()
    harness.coder.usage_events["t0"].clear()
    await harness.poll()
    harness.api_time.used_up = True
    harness.coder.add_usage(UsageEvent("t0", "bo", harness.clock.now() + timedelta(seconds=60)))
    insights = await harness.poll(after=300)

    assert [one.seconds for one in usage_of(insights, "t0").windows] == [60, 0, 60, 60]


async def test_data_is_current_once_the_budget_suffices_again() -> None:
    harness = busy_harness()
    await harness.poll()
    harness.api_time.used_up = True
    await work(harness, 2)
    harness.api_time.used_up = False
    [insights] = await work(harness, 1)

    assert seconds_today(insights) == [120 + 3 * 60] * len(TEMPLATES)
    assert insights.windows_updated_at["today"] == harness.clock.now()


# Long windows


async def test_long_windows_wait_for_at_most_six_hours() -> None:
    """Their parameters, opens and latency wait; their seconds contain the data of today."""
    harness = busy_harness(now_offset=timedelta(hours=-10))
    await harness.poll()
    harness.api_time.used_up = True
    week = TODAY - timedelta(days=6)
    refreshed: list[int] = []
    for number in range(12 * 8):
        [insights] = await work(harness, 1)
        refreshed += [number for call in harness.coder.calls if call.template and call.start == week]
        assert [len(usage.windows) for usage in insights.templates] == [4] * len(TEMPLATES)

    # The report and the latency of each template.
    assert len(refreshed) == 2 * len(TEMPLATES)
    assert min(refreshed) > 12 * 5.5
    assert max(refreshed) <= 12 * 6


async def test_window_of_the_day_before_is_served_after_midnight() -> None:
    """A window moves to the new day within six hours; its data never vanishes in between."""
    harness = busy_harness(now_offset=timedelta(hours=9))
    await harness.poll()
    harness.api_time.used_up = True
    midnight = TODAY + timedelta(days=1)
    starts = []
    for _ in range(12 * 9):
        [insights] = await work(harness, 1)
        for usage in insights.templates:
            assert [one.window for one in usage.windows] == ["today", "yesterday", "7d", "30d"]
            starts.append(window(usage, "7d").start)
            assert window(usage, "yesterday").start == window(usage, "today").start - timedelta(days=1)

    assert set(starts) == {midnight - timedelta(days=days) for days in (6, 7)}
    assert starts[-1] == midnight - timedelta(days=6)
    assert insights.windows_updated_at["7d"] >= harness.clock.now() - timedelta(hours=6)


async def test_totals_never_vanish_and_are_exact_after_the_day_settles() -> None:
    """Over two days without budget; each template is at most four polls behind."""
    harness = busy_harness(now_offset=timedelta(hours=8), days=2)
    await harness.poll()
    harness.api_time.used_up = True
    previous = [0.0] * len(TEMPLATES)
    for _ in range(12 * 30):
        [insights] = await work(harness, 1)
        totals = [usage.totals.seconds for usage in insights.templates if usage.totals]
        assert len(totals) == len(TEMPLATES)
        assert all(after >= before for before, after in zip(previous, totals, strict=True))
        previous = totals
    for name, seconds in zip(TEMPLATES, totals, strict=True):
        events = harness.coder.usage_events[name]
        late = harness.clock.now() - timedelta(minutes=20)
        assert seconds >= sum(event.seconds for event in events if event.used_at <= late)
    assert harness.telemetry.corrected_counters == 0


# A start


async def test_start_without_budget_has_today_and_continues_later() -> None:
    harness = busy_harness()
    harness.api_time.used_up = True
    first = await harness.poll()
    harness.api_time.used_up = False
    second = await harness.poll(after=300)

    assert {one.window for usage in first.templates for one in usage.windows} == {"today"}
    assert set(first.pending_totals.values()) == {"warming_up"}
    assert first.warm_up_ratio < 1.0 == second.warm_up_ratio
    assert second.pending_totals == {}


async def test_refreshes_wait_while_data_is_missing() -> None:
    """The data of today is complete, and the other ranges need several polls."""
    harness = busy_harness()

    def use_up(call: ApiCall) -> None:
        harness.api_time.used_up = bool(call.template) and call.start != TODAY

    harness.coder.error_for = use_up
    await harness.poll()
    harness.api_time.used_up = False
    [insights] = await work(harness, 1)
    starts = {call.start for call in harness.coder.calls if call.template}

    assert insights.warm_up_ratio < 1.0
    assert starts
    assert TODAY not in starts


async def test_windows_of_a_month_are_refreshed_every_four_hours() -> None:
    harness = InsightsHarness(
        "go", now=TODAY + timedelta(hours=1), insights=InsightsSettings(windows=("30d",))
    )
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY))
    await harness.poll()
    refreshes = 0
    for _ in range(12 * 20):
        harness.coder.add_usage(UsageEvent("go", "ada", harness.clock.now()))
        await harness.poll(after=300)
        start = TODAY - timedelta(days=29)
        refreshes += any(call.template and call.start == start for call in harness.coder.calls)

    assert refreshes == 5
