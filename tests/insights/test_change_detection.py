"""Which ranges are requested, and how often; counts of active users."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from insights_exporter.coder import models
from insights_exporter.errors import (
    NotFoundOrForbidden,
)
from tests.insights.harness import (
    NOT_FOUND,
    NOW,
    SERVER_ERROR,
    TODAY,
    YESTERDAY,
    InsightsHarness,
    fail_matching,
    usage_of,
    window,
)
from tests.support.scripted_coder import UsageEvent


async def test_request_count_stays_far_below_naive_plan() -> None:
    """500 templates, 50 used all day: a fifteenth of one request per window, endpoint and template."""
    harness = InsightsHarness(*(f"t{number}" for number in range(500)))
    for number in range(50):
        for day in range(-40, 1):
            harness.coder.add_usage(UsageEvent(f"t{number}", "ada", TODAY + timedelta(days=day, hours=1)))
    await harness.poll()
    requests_per_poll = []
    for _ in range(12):
        for number in range(50):
            harness.coder.add_usage(UsageEvent(f"t{number}", "ada", harness.clock.now()))
        await harness.poll(after=300)
        requests_per_poll.append(len(harness.coder.calls))
    naive_requests = 4 * 3 * 500

    # Each used template needs at least a report and the latency of today.
    assert min(requests_per_poll) >= 2 * 50
    assert max(requests_per_poll) * 15 <= naive_requests
    assert sum(requests_per_poll) * 15 <= 12 * naive_requests


async def test_request_count_stays_below_naive_plan_over_midnight() -> None:
    """The hours of midnight, when every range moves, and of the settlement of a day are included."""
    harness = InsightsHarness(*(f"t{number}" for number in range(100)), now=TODAY + timedelta(hours=22))
    for number in range(10):
        for hour in range(-40 * 24, 48, 7):
            harness.coder.add_usage(UsageEvent(f"t{number}", "ada", TODAY + timedelta(hours=hour)))
    await harness.poll()
    requests_per_hour = []
    for _ in range(8):
        request_count = 0
        for _ in range(12):
            await harness.poll(after=300)
            request_count += len(harness.coder.calls)
        requests_per_hour.append(request_count)

    assert min(requests_per_hour) >= 12 * 2
    assert max(requests_per_hour) * 15 <= 12 * 4 * 3 * 100


async def test_first_poll_is_complete() -> None:
    harness = InsightsHarness("go", "rust")
    for day in range(-60, 1):
        harness.coder.add_usage(UsageEvent("go", "ada", TODAY + timedelta(days=day, hours=1)))
    insights = await harness.poll()

    for usage in (insights.deployment, *insights.templates):
        assert [window_usage.window for window_usage in usage.windows] == ["today", "yesterday", "7d", "30d"]
        assert None not in usage.days
        assert None not in usage.weeks
        assert usage.totals is not None


async def test_unchanged_ranges_are_not_refetched() -> None:
    """A template used yesterday and not today costs no request within the hour."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", YESTERDAY, 60))
    await harness.poll()
    endpoints = []
    for _ in range(12):
        await harness.poll(after=300)
        endpoints += [call.endpoint for call in harness.coder.calls if call.template == "go"]

    assert endpoints == []


async def test_settled_days_are_added_to_today() -> None:
    """The activity of a week changes with that of today, so only today is requested."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("go", "bo", YESTERDAY, 600))
    await harness.poll()
    harness.coder.add_usage(
        UsageEvent("go", "ada", TODAY + timedelta(hours=1), 120), UsageEvent("go", "bo", TODAY, 5)
    )
    usage = usage_of(await harness.poll(after=300), "go")
    starts = [call.start for call in harness.coder.calls if call.endpoint == "activity"]

    # The deployment's activity also contains that of the template, as each user has one template.
    assert starts == [TODAY]
    assert [window_usage.activity for window_usage in usage.windows] == [
        {"ada": 180, "bo": 5},
        {"bo": 600},
        {"ada": 180, "bo": 605},
        {"ada": 180, "bo": 605},
    ]
    assert [window_usage.seconds for window_usage in usage.windows] == [185, 600, 785, 785]


async def test_window_with_missing_response_is_omitted() -> None:
    """A window with less than all responses would show too little use."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("go", "ada", YESTERDAY, 600))
    week = TODAY - timedelta(days=6)
    harness.coder.error_for = fail_matching(SERVER_ERROR, endpoint="report", template="go", start=week)
    usage = usage_of(await harness.poll(), "go")

    assert [window_usage.window for window_usage in usage.windows] == ["today", "yesterday", "30d"]


async def test_slow_refreshes_spread_over_the_hour() -> None:
    """All templates were first requested at the same time; their hourly refreshes spread over the hour."""
    harness = InsightsHarness(*(f"t{number}" for number in range(120)))
    for number in range(120):
        harness.coder.add_usage(UsageEvent(f"t{number}", "ada", TODAY, 60))
    await harness.poll()
    requests_per_poll = []
    for _ in range(12):
        await harness.poll(after=300)
        requests_per_poll.append(
            len(
                [
                    call
                    for call in harness.coder.calls
                    if call.template and call.start == TODAY - timedelta(days=6)
                ]
            )
        )

    # The reports and latencies of the window 7d.
    assert sum(requests_per_poll) == 120 * 2
    assert max(requests_per_poll) <= 2 * 120 / 12 * 2.5


async def test_late_data_of_yesterday_is_fetched() -> None:
    """Data rolled up an hour after midnight counts for yesterday."""
    harness = InsightsHarness("go", now=TODAY + timedelta(minutes=30, seconds=20))
    visible_from = TODAY + timedelta(hours=1)
    harness.coder.add_usage(
        UsageEvent("go", "ada", YESTERDAY + timedelta(hours=9), 60),
        UsageEvent("go", "ada", YESTERDAY + timedelta(hours=23), 600, visible_from=visible_from),
    )
    before = usage_of(await harness.poll(), "go")
    after = usage_of(await harness.poll(after=3600), "go")

    assert window(before, "yesterday").seconds == 60
    assert window(after, "yesterday").seconds == 660
    assert window(after, "7d").seconds == 660


async def test_newly_used_template_appears_in_every_window() -> None:
    harness = InsightsHarness("go")
    await harness.poll()
    harness.coder.add_usage(UsageEvent("go", "ada", NOW + timedelta(seconds=60), 60))
    usage = usage_of(await harness.poll(after=300), "go")

    assert [window_usage.seconds for window_usage in usage.windows] == [60, 0, 60, 60]
    assert usage.days[0] == 1


async def test_unchanged_windows_keep_identity() -> None:
    """Equal responses keep the objects of the snapshot."""
    harness = InsightsHarness("go", "idle")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60, latency=20))
    before = await harness.poll()
    after = await harness.poll(after=300)

    for name in ("go", "idle"):
        for old, new in zip(usage_of(before, name).windows, usage_of(after, name).windows, strict=True):
            assert old is new
        assert usage_of(before, name).totals is usage_of(after, name).totals


async def test_unchanged_parameters_keep_identity() -> None:
    harness = InsightsHarness("go")
    region_usage = models.ParameterUsage(
        name="region", type="string", template_ids=["go"], values=[models.ParameterValue("eu", 2)]
    )
    harness.coder.parameter_usage["go"] = [(TODAY, region_usage)]
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60))
    before = window(usage_of(await harness.poll(), "go"), "today")
    harness.coder.add_usage(UsageEvent("go", "ada", NOW - timedelta(minutes=5), 60))
    after = window(usage_of(await harness.poll(after=300), "go"), "today")
    harness.coder.parameter_usage["go"] = [
        (TODAY, region_usage),
        (NOW, msgspec.structs.replace(region_usage, description="where")),
    ]
    changed = window(usage_of(await harness.poll(after=300), "go"), "today")

    assert after.seconds == before.seconds + 60
    assert after.parameters is before.parameters
    assert [parameter.values for parameter in changed.parameters] == [{"eu": 4}]


async def test_ranges_use_server_time() -> None:
    """The local clock is ahead: its next full hour is too far in the server's future."""
    harness = InsightsHarness("go", now=TODAY + timedelta(hours=14, seconds=30))
    harness.clock.advance(-60)
    insights = await harness.poll()

    assert window(insights.deployment, "today").end == TODAY + timedelta(hours=14)


# Changes of today


async def count_reports(harness: InsightsHarness, polls: int) -> int:
    """Poll every five minutes, and return how often the report of the template's day was requested."""
    reports = 0
    for _ in range(polls):
        await harness.poll(after=300)
        reports += sum(
            call.endpoint == "report" and call.template == "go" and call.start == TODAY
            for call in harness.coder.calls
        )
    return reports


async def test_template_is_refreshed_until_half_an_hour_after_its_last_use() -> None:
    """Coder limits a user's time in all templates to the half hour, so single templates can grow longer."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60))
    await harness.poll()

    # Six polls within half an hour, and then one refresh per hour.
    assert await count_reports(harness, 12) == 6 + 1
    assert await count_reports(harness, 24) == 2


async def test_app_data_that_arrives_late_is_fetched_within_an_hour() -> None:
    """The seconds of the users stay the same."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 3600))
    await harness.poll()
    await count_reports(harness, 12)
    harness.coder.extra_apps["go"] = [models.AppUsage("jupyter", 600, "app", "Jupyter", "", 1)]
    for _ in range(12):
        insights = await harness.poll(after=300)

    apps = {app.slug: app.seconds for app in window(usage_of(insights, "go"), "today").apps}
    assert apps["jupyter"] == 600


async def test_new_build_of_an_idle_template_is_fetched_at_the_next_poll() -> None:
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60))
    await harness.poll()
    await count_reports(harness, 12)
    built_at = harness.clock.now()
    region_usage = models.ParameterUsage(
        name="region", type="string", template_ids=["go"], values=[models.ParameterValue("eu", 1)]
    )
    harness.coder.parameter_usage["go"] = [(built_at, region_usage)]
    [parameter] = window(usage_of(await harness.poll(after=300), "go"), "today").parameters

    assert parameter.values == {"eu": 1}


async def test_changes_are_assumed_while_the_deployment_cannot_be_read() -> None:
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60))
    await harness.poll()
    await count_reports(harness, 12)
    harness.coder.error_for = fail_matching(SERVER_ERROR, endpoint="activity", template="")

    assert await count_reports(harness, 6) == 6


async def test_day_that_ended_keeps_its_data() -> None:
    """At midnight today becomes yesterday. Without a change, a template is not requested for it again."""
    harness = InsightsHarness("go", now=TODAY + timedelta(hours=22))
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY + timedelta(hours=9), 600, latency=20))
    await harness.poll()
    for _ in range(2 * 12):
        usage = usage_of(await harness.poll(after=300), "go")
    midnight = TODAY + timedelta(days=1)
    starts_and_ends = {(call.start, call.end) for call in harness.coder.calls if call.template == "go"}

    assert harness.clock.now() == midnight
    assert window(usage, "yesterday").seconds == 600
    assert window(usage, "yesterday").activity == {"ada": 600}
    assert window(usage, "yesterday").latency.p50 == {"ada": 0.02}
    assert (TODAY, midnight) not in starts_and_ends
    assert usage.totals is not None
    assert usage.totals.seconds == 600


async def test_use_before_midnight_that_arrives_later_counts_for_yesterday() -> None:
    harness = InsightsHarness("go", now=TODAY + timedelta(hours=22))
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY + timedelta(hours=9), 600, latency=20))
    await harness.poll()
    for _ in range(2 * 12 + 2):
        await harness.poll(after=300)
    harness.coder.add_usage(
        UsageEvent("go", "bob", TODAY + timedelta(hours=23, minutes=55), 60, visible_from=harness.clock.now())
    )
    for _ in range(2):
        # A new counter is exported as 0 first.
        usage = usage_of(await harness.poll(after=300), "go")

    assert window(usage, "yesterday").activity == {"ada": 600, "bob": 60}
    assert usage.totals is not None
    assert usage.totals.users == {"ada": 600, "bob": 60}


# Permission for single templates only ---------------------------------------------------------------------


def allow_only_templates(harness: InsightsHarness, *template_names: str) -> None:
    """Allow the token to read single templates, but not the deployment."""
    harness.coder.error_for = lambda call: None if call.template in template_names else NOT_FOUND


async def test_organization_token_queries_single_templates() -> None:
    harness = InsightsHarness("go", "foreign")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("foreign", "bob", TODAY, 60))
    allow_only_templates(harness, "go")
    insights = await harness.poll()

    assert [usage.key.template_name for usage in insights.templates if usage.key] == ["go"]
    assert window(usage_of(insights, "go"), "30d").seconds == 60
    assert insights.deployment.windows == ()
    assert insights.deployment.totals is None
    assert ("insights", "not_permitted") in harness.telemetry.errors


async def test_denied_templates_are_retried_hourly() -> None:
    harness = InsightsHarness("go", "foreign")
    allow_only_templates(harness, "go")
    await harness.poll()
    attempts = 0
    for _ in range(12):
        await harness.poll(after=300)
        attempts += len([call for call in harness.coder.calls if call.template == "foreign"])

    assert attempts == 1


async def test_single_templates_have_exact_totals() -> None:
    harness = InsightsHarness("go", now=TODAY + timedelta(hours=22, seconds=20))
    allow_only_templates(harness, "go")
    for hour in range(-100, 36):
        harness.coder.add_usage(UsageEvent("go", "ada", TODAY + timedelta(hours=hour), 60))
    for _ in range(12 * 12):
        totals = usage_of(await harness.poll(after=300), "go").totals
    expected = sum(
        entry.seconds for entry in harness.coder.usage_events["go"] if entry.used_at <= harness.clock.now()
    )

    assert totals is not None
    assert totals.seconds == expected


async def test_restored_permission_restores_deployment() -> None:
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60))
    allow_only_templates(harness)
    with pytest.raises(NotFoundOrForbidden):
        await harness.poll()
    harness.coder.error_for = lambda _: None
    insights = await harness.poll(after=300)

    assert window(insights.deployment, "today").seconds == 60
    assert window(usage_of(insights, "go"), "today").seconds == 60
