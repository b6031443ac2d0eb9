"""The cached state: incomplete responses, late history, missing templates, renames and active users."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from insights_exporter.coder import models
from insights_exporter.coder.versions import ServerVersion
from insights_exporter.config.settings import InsightsSettings
from insights_exporter.snapshot import Insights, Template, TemplateKey, TemplateUsage
from tests.insights.harness import (
    NOW,
    SERVER_ERROR,
    TODAY,
    YESTERDAY,
    InsightsHarness,
    usage_of,
    window,
)
from tests.support.scripted_coder import UsageEvent

BEFORE_SETTLEMENT = TODAY + timedelta(hours=2, minutes=55, seconds=20)
GO = TemplateKey("acme", "go")


def total_seconds(insights: Insights, name: str = "go") -> float | None:
    totals = usage_of(insights, name).totals
    return None if totals is None else totals.seconds


# Incomplete responses


async def test_incomplete_response_does_not_settle_a_day() -> None:
    """Every response for yesterday loses a row when the day settles; the total waits and stays exact."""
    harness = InsightsHarness("go", "rust", now=BEFORE_SETTLEMENT)
    for user in ("ada", "bob"):
        harness.coder.add_usage(UsageEvent("go", user, YESTERDAY, 600))
    harness.coder.add_usage(UsageEvent("rust", "cy", YESTERDAY, 60))
    before = await harness.poll()
    harness.coder.has_invalid_row = lambda call: call.start == YESTERDAY
    during = [await harness.poll(after=300) for _ in range(3)]
    harness.coder.has_invalid_row = lambda _: False
    after = await harness.poll(after=300)

    assert [total_seconds(insights) for insights in (before, *during, after)] == [1200] * 5
    assert during[-1].pending_totals[None] == "incomplete"
    assert after.pending_totals == {}
    assert after.deployment.totals is not None
    assert after.deployment.totals.seconds == 1260


async def test_incomplete_first_response_exports_no_total() -> None:
    """A new process has no earlier response; the total is absent until a complete one arrives."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 600), UsageEvent("go", "bob", TODAY, 60))
    harness.coder.has_invalid_row = lambda call: call.endpoint == "activity"
    first = await harness.poll()
    harness.coder.has_invalid_row = lambda _: False
    second = await harness.poll(after=300)

    assert total_seconds(first) is None
    assert first.pending_totals[GO] == "incomplete"
    assert total_seconds(second) == 660
    assert second.pending_totals == {}


async def test_incomplete_response_never_replaces_a_complete_one() -> None:
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 600), UsageEvent("go", "bob", TODAY, 60))
    await harness.poll()
    harness.coder.has_invalid_row = lambda _: True
    harness.coder.add_usage(UsageEvent("go", "ada", NOW, 60))
    during = await harness.poll(after=300)
    harness.coder.has_invalid_row = lambda _: False
    after = await harness.poll(after=300)

    assert window(usage_of(during, "go"), "today").activity == {"ada": 600, "bob": 60}
    assert window(usage_of(during, "go"), "today").active_users == 2
    assert window(usage_of(after, "go"), "today").activity == {"ada": 660, "bob": 60}


async def test_incomplete_deployment_response_does_not_hide_a_template() -> None:
    """The row that names the template was dropped: the template is not idle, its state is unknown."""
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 600), UsageEvent("rust", "bob", TODAY, 60))
    harness.coder.has_invalid_row = lambda call: not call.template
    first = await harness.poll()
    harness.coder.has_invalid_row = lambda _: False
    second = await harness.poll(after=300)

    assert total_seconds(first, "rust") is None
    assert total_seconds(second, "rust") == 60
    assert second.pending_totals == {}


# Late history


async def test_late_rollup_reaches_the_totals_within_a_day() -> None:
    """Coder was down for days and rolls up afterwards; running replicas agree within a day."""
    settings = InsightsSettings(anchor=date(2026, 11, 1))
    harness = InsightsHarness("go", "rust", insights=settings)
    visible_from = NOW + timedelta(hours=1)
    harness.coder.add_usage(
        UsageEvent("go", "ada", TODAY - timedelta(days=9), 600),
        UsageEvent("go", "ada", TODAY - timedelta(days=8), 60, visible_from=visible_from),
        UsageEvent("rust", "bob", TODAY - timedelta(days=7), 60, visible_from=visible_from),
    )
    before = await harness.poll()
    for _ in range(26):
        after = await harness.poll(after=3600)

    assert (total_seconds(before), total_seconds(before, "rust")) == (600, 0)
    assert (total_seconds(after), total_seconds(after, "rust")) == (660, 60)
    assert usage_of(after, "rust").days == (0,) * 7
    assert harness.telemetry.corrected_counters == 0


async def test_history_is_read_again_within_an_hour_after_an_upgrade_of_coder() -> None:
    harness = InsightsHarness("go", insights=InsightsSettings(anchor=date(2026, 11, 1)))
    visible_from = NOW + timedelta(minutes=1)
    harness.coder.add_usage(
        UsageEvent("go", "ada", TODAY - timedelta(days=9), 600),
        UsageEvent("go", "ada", TODAY - timedelta(days=8), 60, visible_from=visible_from),
    )
    await harness.poll()
    harness.coder.version = ServerVersion(2, 36, 0)
    for _ in range(14):
        insights = await harness.poll(after=300)

    assert total_seconds(insights) == 660


async def test_history_is_read_again_after_an_outage_of_coder() -> None:
    harness = InsightsHarness("go", insights=InsightsSettings(anchor=date(2026, 11, 1)))
    visible_from = NOW + timedelta(minutes=1)
    harness.coder.add_usage(
        UsageEvent("go", "ada", TODAY - timedelta(days=9), 600),
        UsageEvent("go", "ada", TODAY - timedelta(days=8), 60, visible_from=visible_from),
    )
    await harness.poll()
    harness.coder.error_for = lambda _: SERVER_ERROR
    for _ in range(2):
        await harness.poll_failing(after=300)
    harness.coder.error_for = lambda _: None
    for _ in range(14):
        insights = await harness.poll(after=300)

    assert total_seconds(insights) == 660


async def test_decreased_history_is_clamped_and_counted() -> None:
    harness = InsightsHarness("go", insights=InsightsSettings(anchor=date(2026, 11, 1)))
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY - timedelta(days=9), 600))
    await harness.poll()
    harness.coder.usage_events["go"] = [UsageEvent("go", "ada", TODAY - timedelta(days=9), 300)]
    for _ in range(26):
        insights = await harness.poll(after=3600)

    assert total_seconds(insights) == 600
    assert harness.telemetry.corrected_counters == 6


# Missing templates


async def test_template_missing_from_one_list_keeps_its_totals() -> None:
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 600), UsageEvent("rust", "bob", TODAY, 60))
    await harness.poll()
    complete = harness.inventory
    harness.inventory = replace(complete, templates=complete.templates[1:])
    missing = await harness.poll(after=300)
    harness.coder.add_usage(UsageEvent("go", "ada", NOW, 60))
    harness.inventory = complete
    returned = await harness.poll(after=300)

    assert total_seconds(missing) == 600
    assert missing.pending_totals == {GO: "not_listed"}
    assert total_seconds(returned) == 660
    assert returned.pending_totals == {}


async def test_template_expires_after_complete_lists_without_it_and_continues_on_return() -> None:
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 600))
    await harness.poll()
    complete = harness.inventory
    harness.inventory = replace(complete, templates=complete.templates[1:])
    seen = []
    for _ in range(8):
        insights = await harness.poll(after=300)
        seen.append(any(usage.key == GO for usage in insights.templates))
    # The rollup that Coder lost makes the template come back lower; its total continues.
    harness.coder.usage_events["go"] = [UsageEvent("go", "ada", TODAY, 300)]
    harness.inventory = complete
    returned = await harness.poll(after=300)

    assert seen == [True] * 7 + [False]
    assert total_seconds(returned) == 600
    assert harness.telemetry.corrected_counters == 3 + 3


async def test_incomplete_list_does_not_expire_a_template() -> None:
    harness = InsightsHarness("go", "rust")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 600))
    await harness.poll()
    harness.inventory = replace(
        harness.inventory, templates=harness.inventory.templates[1:], templates_complete=False
    )
    for _ in range(12):
        insights = await harness.poll(after=300)
    harness.coder.add_usage(UsageEvent("go", "ada", NOW, 60))
    insights = await harness.poll(after=300)

    assert total_seconds(insights) == 660


async def test_older_template_of_the_same_name_is_not_exported_twice() -> None:
    """A template was deleted, and another one created under its name."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 600))
    await harness.poll()
    harness.inventory = replace(harness.inventory, templates=[Template("go-2", GO, created_at=NOW)])
    insights = await harness.poll(after=300)

    assert [usage.key for usage in insights.templates] == [GO]
    assert total_seconds(insights) == 0


async def test_zero_totals_of_unknown_apps_are_removed() -> None:
    """A replica that starts later does not know the app, and exports the same series."""
    settings = InsightsSettings(anchor=date(2026, 11, 20), windows=("today", "3d"), days=1, weeks=1)
    harness = InsightsHarness("go", now=TODAY - timedelta(days=3, hours=-1), insights=settings)
    # The app was used before the anchor, and is known from the three days' window.
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY - timedelta(days=5, hours=-1), 60, "jupyter"))
    first = usage_of(await harness.poll(), "go").totals
    for _ in range(30):
        insights = await harness.poll(after=3600)
    fresh = InsightsHarness("go", now=harness.clock.now(), insights=harness.insights)
    fresh.coder.usage_events = harness.coder.usage_events
    expected = usage_of(await fresh.poll(), "go").totals
    last = usage_of(insights, "go").totals

    assert first is not None
    assert first.apps["jupyter", "app"] == 0
    assert last is not None
    assert expected is not None
    assert last.apps.keys() == expected.apps.keys()
    assert ("jupyter", "app") not in last.apps


# Renames


async def test_rename_changes_every_window_and_total_in_one_poll() -> None:
    """One user is renamed. All responses that are not requested again show the new name too."""
    harness = InsightsHarness("go", "rust")
    harness.coder.user_list = [models.User("id-1", "ada")]
    for template in ("go", "rust"):
        harness.coder.add_usage(
            UsageEvent(template, "id-1", YESTERDAY, 600, latency=20),
            UsageEvent(template, "id-1", TODAY - timedelta(days=20), 60, latency=20),
        )
    harness.coder.add_usage(UsageEvent("go", "id-1", TODAY, 60, latency=20))
    await harness.poll()
    harness.coder.user_list = [models.User("id-1", "ada-lovelace")]
    insights = await harness.poll(after=300)

    usernames = [usernames_of(usage) for usage in (insights.deployment, *insights.templates)]
    assert usernames == [{"ada-lovelace"}] * 3


def usernames_of(usage: TemplateUsage) -> set[str]:
    """Return every username in the windows and totals."""
    assert usage.totals is not None
    names = set(usage.totals.users)
    for window_usage in usage.windows:
        names |= window_usage.activity.keys() | set(window_usage.latency.users)
        names |= window_usage.latency.p50.keys()
    return names


async def test_rename_separates_users_who_shared_a_name() -> None:
    harness = InsightsHarness("go")
    harness.coder.user_list = [models.User("id-1", "ada"), models.User("id-2", "ada")]
    for user, latency in (("id-1", 20), ("id-2", 40)):
        harness.coder.add_usage(UsageEvent("go", user, YESTERDAY, 60, latency=latency))
        harness.coder.add_usage(UsageEvent("go", user, TODAY, 60, latency=latency))
    before = window(usage_of(await harness.poll(), "go"), "yesterday").latency
    harness.coder.user_list = [models.User("id-1", "ada"), models.User("id-2", "bob")]
    after = window(usage_of(await harness.poll(after=300), "go"), "yesterday").latency

    assert before.p50 == {"ada": 0.04}
    assert after.p50 == {"ada": 0.02, "bob": 0.04}


# Counts of active users


async def test_active_users_of_every_template_come_from_the_deployment() -> None:
    """Users with several templates count for each; no template is requested for a count."""
    harness = InsightsHarness("go", "rust", "idle")
    for day in range(60):
        for number in range(day % 4):
            used_at = TODAY - timedelta(days=day)
            harness.coder.add_usage(
                UsageEvent("go", f"user-{number}", used_at), UsageEvent("rust", f"user-{number % 2}", used_at)
            )
    insights = await harness.poll()
    activity_calls = [call for call in harness.coder.calls if call.endpoint == "activity"]
    # The days of the windows "today" and "yesterday" are queries of the template as well.
    template_days = {call.start for call in activity_calls if call.template} - {TODAY, YESTERDAY}

    for name in ("go", "rust", "idle"):
        assert usage_of(insights, name).days == tuple(users_of(harness, name, ago, 1) for ago in range(7))
        assert usage_of(insights, name).weeks == tuple(
            users_of(harness, name, 2 + 7 * ago, 7, backwards=True) for ago in range(12)
        )
    assert template_days == {
        TODAY - timedelta(days=6),
        TODAY - timedelta(days=29),
        datetime(2026, 10, 1, tzinfo=UTC),
    }


def users_of(harness: InsightsHarness, name: str, ago: int, days: int, *, backwards: bool = False) -> int:
    """Return the distinct users of a template in a range that starts, or ends, ``ago`` days ago."""
    start = TODAY - timedelta(days=ago)
    if backwards:
        start -= timedelta(days=days - 1)
    end = start + timedelta(days=days)
    return len({event.user for event in harness.coder.usage_events[name] if start <= event.used_at < end})
