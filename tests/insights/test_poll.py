"""Stages, the deadline, and warming up."""

from __future__ import annotations

from datetime import timedelta

from insights_exporter.config.settings import InsightsSettings
from insights_exporter.snapshot import Insights
from tests.insights.harness import NOW, TODAY, InsightsHarness, usage_of
from tests.support.scripted_coder import ApiCall, UsageEvent

TEMPLATE_COUNT = 20


def slow_harness(seconds_per_request: float) -> InsightsHarness:
    """Return a harness of templates in use for 40 days, and a Coder that needs time for each request."""
    harness = InsightsHarness(*(f"t{number}" for number in range(TEMPLATE_COUNT)))
    for number in range(TEMPLATE_COUNT):
        for day in range(40):
            for user in ("ada", "bob"):
                used_at = TODAY - timedelta(days=day)
                harness.coder.add_usage(UsageEvent(f"t{number}", user, used_at, latency=20))

    def take_time(_: ApiCall) -> None:
        harness.clock.elapsed += seconds_per_request

    harness.coder.error_for = take_time
    return harness


def window_names(insights: Insights) -> list[set[str]]:
    return [{usage.window for usage in template.windows} for template in insights.templates]


async def test_slow_first_poll_fetches_recent_windows_first() -> None:
    """All windows would take longer than the deadline. The first poll has those of today and seven days."""
    harness = slow_harness(1.2)
    insights = await harness.poll()
    seconds = harness.clock.elapsed

    assert window_names(insights) == [{"today", "7d"}] * TEMPLATE_COUNT
    assert 0.2 < insights.warm_up_ratio < 0.9
    assert set(insights.pending_totals.values()) == {"warming_up"}
    assert len(insights.pending_totals) == TEMPLATE_COUNT + 1
    assert harness.telemetry.errors == []
    # Requests start in three quarters of the deadline of 240 s.
    assert 180 <= seconds <= 185


async def test_slow_start_completes_over_several_polls() -> None:
    harness = slow_harness(0.8)
    ratios = []
    for _ in range(6):
        insights = await harness.poll(after=300)
        ratios.append(insights.warm_up_ratio)

    assert ratios == sorted(ratios)
    assert ratios[0] < ratios[-1] == 1.0
    assert insights.pending_totals == {}
    assert all(len(names) == 4 for names in window_names(insights))
    totals = usage_of(insights, "t0").totals
    assert totals is not None
    assert totals.seconds == 2 * 40 * 60


async def test_first_data_of_a_slow_poll_is_published_early() -> None:
    """The first snapshot contains today, the second also seven days; the rest of the poll follows."""
    harness = slow_harness(0.3)
    early: list[tuple[float, Insights]] = []

    async def on_partial(insights: Insights) -> None:
        early.append((harness.clock.elapsed, insights))

    insights = await harness.poll(on_partial=on_partial)
    second = await harness.poll(after=300, on_partial=on_partial)

    [(first_seconds, first), (second_seconds, partial)] = early
    assert first_seconds < second_seconds < harness.clock.elapsed
    assert window_names(first) == [{"today"}] * TEMPLATE_COUNT
    assert window_names(partial) == [{"today", "7d"}] * TEMPLATE_COUNT
    assert first.warm_up_ratio < partial.warm_up_ratio < 1.0
    assert window_names(insights) == [{"today", "yesterday", "7d", "30d"}] * TEMPLATE_COUNT
    assert (insights.warm_up_ratio, second.warm_up_ratio) == (1.0, 1.0)


async def test_fast_first_poll_is_published_once() -> None:
    harness = slow_harness(0.0)

    async def on_partial(_: Insights) -> None:
        raise AssertionError

    insights = await harness.poll(on_partial=on_partial)

    assert insights.warm_up_ratio == 1.0
    assert insights.pending_totals == {}


async def test_early_data_does_not_change_totals() -> None:
    """Building the usage twice in one poll does not export a total as 0."""
    slow, fast = slow_harness(0.2), slow_harness(0.0)

    async def on_partial(_: Insights) -> None:
        pass

    slow_insights = await slow.poll(on_partial=on_partial)
    fast_insights = await fast.poll()
    slow_totals, fast_totals = (
        [(usage.totals.seconds, usage.totals.users) for usage in insights.templates if usage.totals]
        for insights in (slow_insights, fast_insights)
    )

    assert len(slow_totals) == TEMPLATE_COUNT
    assert slow_totals == fast_totals


async def test_windows_of_one_template_have_one_age() -> None:
    """The reports and latencies of a long window are refreshed in the same poll."""
    harness = InsightsHarness("go", insights=InsightsSettings(windows=("today", "3d", "7d")))
    for day in range(40):
        harness.coder.add_usage(UsageEvent("go", "ada", TODAY - timedelta(days=day), latency=20))
    await harness.poll()
    refreshes = []
    for number in range(24):
        harness.coder.add_usage(UsageEvent("go", "ada", NOW + timedelta(seconds=300 * number), latency=20))
        await harness.poll(after=300)
        refreshes.append(
            sorted(
                (call.endpoint, (TODAY - call.start).days)
                for call in harness.coder.calls
                if call.template and call.start and call.start < TODAY
            )
        )
    hourly = [refresh for refresh in refreshes if refresh]

    assert hourly == [[("latency", 2), ("latency", 6), ("report", 2), ("report", 6)]] * 2
