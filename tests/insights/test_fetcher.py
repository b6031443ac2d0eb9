"""Failed requests: cached data, expiry, and the circuit breaker."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from insights_exporter.coder.versions import ServerVersion
from insights_exporter.errors import (
    DeadlineExceeded,
    ExpiredToken,
    InsightsDisabled,
)
from insights_exporter.snapshot import Insights, TemplateUsage
from tests.insights.harness import (
    NOT_FOUND,
    SERVER_ERROR,
    TODAY,
    YESTERDAY,
    InsightsHarness,
    fail_matching,
    usage_of,
    window,
)
from tests.support.log_events import log_events
from tests.support.scripted_coder import UsageEvent


async def test_failure_of_one_template_does_not_affect_others(caplog: pytest.LogCaptureFixture) -> None:
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("rust", "bob", TODAY, 60))
    await harness.poll()
    harness.coder.error_for = fail_matching(SERVER_ERROR, template="go", endpoint="report")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("rust", "bob", TODAY, 60))
    with caplog.at_level(logging.WARNING):
        insights = await harness.poll(after=300)
        await harness.poll(after=300)

    assert vscode_seconds(usage_of(insights, "go")) == 60
    assert vscode_seconds(usage_of(insights, "rust")) == 120
    assert set(harness.telemetry.errors) == {("insights", "server_error")}
    assert [event["event"] for event in log_events(caplog)] == ["collection failed in part"]


def vscode_seconds(usage: TemplateUsage) -> float:
    return next(app.seconds for app in window(usage, "today").apps if app.slug == "vscode")


async def test_failing_template_expires_after_max_staleness() -> None:
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("rust", "bob", TODAY, 60))
    await harness.poll()
    harness.coder.error_for = fail_matching(SERVER_ERROR, template="go")
    for _ in range(6):
        fresh = await harness.poll(after=300)
    partly_expired = await harness.poll(after=300)
    for _ in range(18):
        expired = await harness.poll(after=300)

    assert [window_usage.window for window_usage in usage_of(fresh, "go").windows] == [
        "today",
        "yesterday",
        "7d",
        "30d",
    ]
    assert not {"today", "7d"} & {
        window_usage.window for window_usage in usage_of(partly_expired, "go").windows
    }
    assert usage_of(expired, "go").totals is None
    # The template was idle yesterday, which needs no request.
    assert [window_usage.window for window_usage in usage_of(expired, "go").windows] == ["yesterday"]
    assert len(usage_of(expired, "rust").windows) == 4


async def test_day_is_not_settled_with_an_earlier_response() -> None:
    """The request after the day settled fails; the total waits for it instead of using the older response."""
    harness = InsightsHarness("go", now=TODAY + timedelta(hours=2, minutes=55, seconds=20))
    harness.coder.add_usage(UsageEvent("go", "ada", YESTERDAY, 60))
    await harness.poll()
    harness.coder.add_usage(UsageEvent("go", "ada", YESTERDAY, 600))
    harness.coder.error_for = fail_matching(SERVER_ERROR, template="go")
    await harness.poll(after=300)
    harness.coder.error_for = lambda _: None
    totals = usage_of(await harness.poll(after=300), "go").totals

    assert totals is not None
    assert totals.seconds == 660


async def test_template_deleted_during_poll_counts_one_error() -> None:
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("rust", "bob", TODAY, 60))
    harness.coder.error_for = fail_matching(NOT_FOUND, template="go")
    insights = await harness.poll()

    assert harness.telemetry.errors == [("insights", "not_permitted")]
    assert len(usage_of(insights, "rust").windows) == 4


async def test_poll_stops_at_deadline() -> None:
    """Fetched data is published, the rest keeps its last value, and the error counts once."""
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("rust", "bob", TODAY, 60))
    await harness.poll()
    deadline_exceeded = DeadlineExceeded("too late", endpoint="/insights/user-latency")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("rust", "bob", TODAY, 60))
    harness.coder.error_for = fail_matching(deadline_exceeded, endpoint="latency")
    insights = await harness.poll(after=300)

    assert window(insights.deployment, "today").seconds == 240
    assert len(usage_of(insights, "go").windows) == 4
    assert harness.telemetry.errors == [("insights", "deadline")]


async def test_poll_without_responses_raises() -> None:
    harness = InsightsHarness("go")
    expired = ExpiredToken("make a new one", endpoint="/insights/templates", status=401)
    harness.coder.error_for = lambda _: expired
    with pytest.raises(ExpiredToken):
        await harness.poll()

    assert len(harness.coder.calls) == 1


async def test_circuit_opens_when_server_keeps_failing() -> None:
    template_names = [f"t{number}" for number in range(50)]
    harness = InsightsHarness(*template_names)
    for name in template_names:
        harness.coder.add_usage(UsageEvent(name, "ada", TODAY, 60))
    harness.coder.error_for = lambda call: SERVER_ERROR if call.template else None
    await harness.poll()

    requested = [call.template for call in harness.coder.calls if call.template]

    # At most three requests for each of five templates, of fifty. Others were never requested.
    assert 0 < len(requested) <= 3 * 5
    assert len(set(requested)) <= 5


@pytest.mark.parametrize("failing_ones", [1, 4, 12])
async def test_healthy_templates_update_while_others_fail(failing_ones: int) -> None:
    """For two hours some templates fail, and all of them are listed before the healthy one."""
    failing_names = [f"a{number}" for number in range(failing_ones)]
    harness = InsightsHarness(*failing_names, "healthy")
    for name in (*failing_names, "healthy"):
        harness.coder.add_usage(
            UsageEvent(name, "ada", TODAY - timedelta(days=3), 60), UsageEvent(name, "ada", TODAY, 60)
        )
    await harness.poll()
    harness.coder.error_for = lambda call: SERVER_ERROR if call.template in failing_names else None
    for poll_number in range(25):
        harness.coder.add_usage(UsageEvent("healthy", "ada", harness.clock.now(), 60))
        insights = await harness.poll(after=300)
        usage = usage_of(insights, "healthy")

        assert len(usage.windows) == 4
        assert usage.totals is not None
        expected_seconds = 120 + 60 * (poll_number + 1)
        # In the first polls with failures, the circuit can open before the healthy template.
        assert usage.totals.seconds <= expected_seconds
        if poll_number >= failing_ones / 5:
            assert usage.totals.seconds == expected_seconds
    # Of the others, only settled ranges are still known.
    for name in failing_names:
        assert [window_usage.window for window_usage in usage_of(insights, name).windows] == ["yesterday"]
    harness.coder.error_for = lambda _: None
    recovered = await harness.poll(after=300)

    assert all(len(usage_of(recovered, name).windows) == 4 for name in failing_names)


async def test_disabled_insights_are_reported() -> None:
    harness = InsightsHarness("go")
    await harness.poll()
    harness.coder.error_for = lambda _: InsightsDisabled("off", endpoint="/insights/templates", status=404)
    insights = await harness.poll(after=300)

    assert insights == Insights(deployment=insights.deployment, collection_enabled=False)
    assert insights.deployment.windows == ()
    assert harness.telemetry.errors == []


async def test_collection_state_is_unknown_on_old_servers() -> None:
    harness = InsightsHarness("go")
    harness.coder.version = ServerVersion(2, 29, 0)

    assert (await harness.poll()).collection_enabled is None


async def test_apps_outside_windows_keep_their_totals() -> None:
    """A total stays exported although no window contains its app."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY - timedelta(days=40), 60, "jupyter"))
    totals = usage_of(await harness.poll(), "go").totals

    assert totals is not None
    assert totals.apps["jupyter", "app"] == 60
