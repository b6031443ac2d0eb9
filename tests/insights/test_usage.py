"""Usage in windows, days, weeks and totals."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from insights_exporter.coder import models
from insights_exporter.config.settings import FilterSettings, InsightsSettings, NameFilter
from insights_exporter.snapshot import (
    Agent,
    App,
    Inventory,
    Parameter,
    ParameterOption,
    Template,
    TemplateKey,
    User,
    Workspace,
)
from tests.insights.harness import (
    NOW,
    TODAY,
    YESTERDAY,
    InsightsHarness,
    usage_of,
    window,
)
from tests.support.scripted_coder import UsageEvent


async def test_each_window_has_values_of_its_range() -> None:
    harness = InsightsHarness("go")
    harness.coder.add_usage(
        UsageEvent("go", "ada", TODAY + timedelta(hours=9), 600, "jupyter", latency=40),
        UsageEvent("go", "bob", YESTERDAY + timedelta(hours=9), 1200, latency=-1),
        UsageEvent("go", "cy", TODAY - timedelta(days=20), 60),
    )
    usage = usage_of(await harness.poll(), "go")

    assert [row.active_users for row in usage.windows] == [1, 1, 2, 3]
    assert [row.seconds for row in usage.windows] == [600, 1200, 1800, 1860]
    week = window(usage, "7d")
    assert week.activity == {"ada": 600, "bob": 1200}
    assert [(row.username, row.p50) for row in week.latency.rows()] == [("ada", 0.04), ("bob", None)]
    assert usage.days == (1, 1, 0, 0, 0, 0, 0)
    assert usage.weeks == (0, 0, 1, *(0,) * 9)


@pytest.mark.parametrize(("utc_offset", "day"), [(0, 24), (9, 24), (10, 25), (-12, 24)])
async def test_today_is_a_date_in_the_configured_offset(utc_offset: int, day: int) -> None:
    harness = InsightsHarness("go", insights=InsightsSettings(utc_offset=utc_offset))

    assert (await harness.poll()).today == date(2026, 11, day)


async def test_idle_template_is_zero_without_requests() -> None:
    harness = InsightsHarness("go", "idle")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY + timedelta(hours=9)))
    usage = usage_of(await harness.poll(), "idle")

    assert {call.template for call in harness.coder.calls} == {"", "go"}
    assert [(window_usage.active_users, window_usage.seconds) for window_usage in usage.windows] == [
        (0, 0.0)
    ] * 4
    assert {app.slug for app in usage.windows[0].apps} == {
        "vscode",
        "jetbrains",
        "reconnecting-pty",
        "ssh",
        "sftp",
    }
    assert usage.days == (0,) * 7
    assert usage.weeks == (0,) * 12
    assert usage.totals is not None
    assert set(usage.totals.apps.values()) == {0.0}


async def test_unused_template_with_workspaces_has_parameters() -> None:
    """The template was not used, but its workspaces were built with parameter values."""
    harness = InsightsHarness("go")
    parameter_usage = models.ParameterUsage(
        name="region",
        type="string",
        template_ids=["go"],
        values=[models.ParameterValue("eu", 2)],
    )
    harness.coder.parameter_usage["go"] = [(TODAY + timedelta(hours=1), parameter_usage)]
    usage = usage_of(await harness.poll(), "go")

    assert [parameter.values for parameter in window(usage, "today").parameters] == [{"eu": 2}]
    assert {call.endpoint for call in harness.coder.calls if call.template} == {"report"}


async def test_unused_options_are_zero() -> None:
    harness = InsightsHarness()
    declared = Parameter("region", "string", options=(ParameterOption("eu", "EU"), ParameterOption("us")))
    harness.inventory = Inventory([Template("go", TemplateKey("acme", "go"), parameters=(declared,))])
    reported = models.ParameterUsage(
        name="region",
        type="string",
        template_ids=["go"],
        values=[models.ParameterValue("eu", 2), models.ParameterValue("old", 1)],
    )
    harness.coder.parameter_usage["go"] = [(TODAY + timedelta(hours=1), reported)]
    usage = usage_of(await harness.poll(), "go")

    assert [parameter.values for parameter in window(usage, "today").parameters] == [
        {"eu": 2, "us": 0, "old": 1}
    ]
    assert [parameter.values for parameter in window(usage, "yesterday").parameters] == [{"eu": 0, "us": 0}]


async def test_declarations_of_one_parameter_are_summed() -> None:
    harness = InsightsHarness("go")
    one = models.ParameterUsage(
        name="region", type="string", template_ids=["go"], values=[models.ParameterValue("eu", 2)]
    )
    second = models.ParameterUsage(
        name="region",
        type="string",
        description="where it runs",
        template_ids=["go"],
        values=[models.ParameterValue("eu", 1), models.ParameterValue("", 4)],
    )
    harness.coder.parameter_usage["go"] = [(TODAY, one), (TODAY, second)]
    usage = usage_of(await harness.poll(), "go")

    assert [one.values for one in window(usage, "today").parameters] == [{"eu": 3, "": 4}]


async def test_multi_select_values_count_individually() -> None:
    """The value of a multi-select is a JSON list; a workspace counts for each of its elements."""
    harness = InsightsHarness()
    options = tuple(ParameterOption(item) for item in ("go", "rust", "zig"))
    declared = Parameter("tools", "list(string)", options=options)
    harness.inventory = Inventory([Template("go", TemplateKey("acme", "go"), parameters=(declared,))])
    reported = models.ParameterUsage(
        name="tools",
        type="list(string)",
        template_ids=["go"],
        values=[models.ParameterValue('["go","rust"]', 2), models.ParameterValue("broken", 1)],
    )
    harness.coder.parameter_usage["go"] = [(TODAY, reported)]
    usage = usage_of(await harness.poll(), "go")

    assert [item.values for item in window(usage, "today").parameters] == [
        {"go": 2, "rust": 2, "zig": 0, "broken": 1}
    ]


async def test_unused_known_apps_are_zero() -> None:
    """Known apps are those of agents and of other windows. External apps are links without usage."""
    harness = InsightsHarness("go")
    apps = (App("grafana", "Grafana", "/g.svg"), App("wiki", external=True))
    agent = Agent("a", "main", "connected", apps=apps)
    harness.inventory = replace(
        harness.inventory,
        workspaces=[Workspace("w", "dev", "ada", TemplateKey("acme", "go"), "running", agents=(agent,))],
    )
    harness.coder.add_usage(UsageEvent("go", "ada", YESTERDAY, 60, "jupyter"))
    today = window(usage_of(await harness.poll(), "go"), "today")
    unused = {app.slug: (app.type, app.seconds, app.opens) for app in today.apps if app.type == "app"}

    assert unused == {"grafana": ("app", 0, 0), "jupyter": ("app", 0, 0)}


async def test_apps_with_same_slug_are_merged() -> None:
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY))
    harness.coder.extra_apps["go"] = [
        models.AppUsage("code", 60, "app", "Code", "/old.svg", 1),
        models.AppUsage("code", 120, "app", "Code 2", "/new.svg", 2),
    ]
    usage = usage_of(await harness.poll(), "go")
    apps = [app for app in window(usage, "today").apps if app.slug == "code"]

    assert [(app.seconds, app.opens, app.display_name) for app in apps] == [(180, 3, "Code 2")]


async def test_accounts_with_same_username_are_merged() -> None:
    """One account was deleted, and another one got its name."""
    harness = InsightsHarness("go")
    harness.coder.user_list = [
        models.User("id-1", "ada"),
        models.User("id-2", "ada"),
    ]
    harness.coder.add_usage(
        UsageEvent("go", "id-1", TODAY, 60, latency=30),
        UsageEvent("go", "id-2", TODAY, 120, latency=50),
    )
    usage = usage_of(await harness.poll(), "go")

    assert window(usage, "today").activity == {"ada": 180}
    assert [(row.username, row.p50) for row in window(usage, "today").latency.rows()] == [("ada", 0.05)]
    assert usage.totals is not None
    assert usage.totals.users == {"ada": 180}


async def test_username_falls_back_to_account_then_id() -> None:
    harness = InsightsHarness("go")
    harness.inventory = replace(harness.inventory, users=[User("id-1", "ada")])
    harness.coder.user_list = [models.User("id-1", ""), models.User("id-2", "")]
    harness.coder.add_usage(UsageEvent("go", "id-1", TODAY, 60), UsageEvent("go", "id-2", TODAY, 120))
    usage = usage_of(await harness.poll(), "go")

    assert window(usage, "today").activity == {"ada": 60, "id-2": 120}
    assert usage.totals is not None
    assert usage.totals.users == {"ada": 60, "id-2": 120}


async def test_filtered_users_count_in_sums() -> None:
    harness = InsightsHarness("go", filters=FilterSettings(users=NameFilter(deny=("svc-*",))))
    harness.coder.add_usage(
        UsageEvent("go", "ada", TODAY, 60, latency=20), UsageEvent("go", "svc-ci", TODAY, 120, latency=20)
    )
    usage = usage_of(await harness.poll(), "go")
    today = window(usage, "today")

    assert today.activity == {"ada": 60}
    assert list(today.latency.users) == ["ada"]
    assert (today.active_users, today.seconds) == (2, 180)
    assert usage.totals is not None
    assert (usage.totals.users, usage.totals.seconds) == ({"ada": 60}, 180)


async def test_filtered_templates_count_for_deployment() -> None:
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY, 60), UsageEvent("secret", "ada", TODAY, 120))
    insights = await harness.poll()

    assert [usage.key.template_name for usage in insights.templates if usage.key] == ["go"]
    assert window(insights.deployment, "today").seconds == 180


async def test_new_template_starts_at_zero() -> None:
    """The template did not exist at the previous poll, so its total starts at 0 for increase()."""
    harness = InsightsHarness("go")
    await harness.poll()
    template = Template("new", TemplateKey("acme", "new"), created_at=NOW + timedelta(seconds=30))
    harness.inventory = Inventory([*harness.inventory.templates, template])
    harness.coder.add_usage(UsageEvent("new", "ada", NOW + timedelta(seconds=60), 60))
    first = usage_of(await harness.poll(after=300), "new").totals
    second = usage_of(await harness.poll(after=300), "new").totals

    assert first is not None
    assert second is not None
    assert (first.seconds, first.users) == (0, {"ada": 0})
    assert (second.seconds, second.users) == (60, {"ada": 60})


async def test_newly_visible_template_exports_full_total() -> None:
    """The usage happened earlier: a leading 0 would make increase() report all of it as new."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("old", "ada", YESTERDAY, 60))
    await harness.poll()
    old = Template("old", TemplateKey("acme", "old"), created_at=NOW - timedelta(days=300))
    harness.inventory = Inventory([*harness.inventory.templates, old])
    totals = usage_of(await harness.poll(after=300), "old").totals

    assert totals is not None
    assert totals.seconds == 60


async def test_renamed_user_is_merged_in_windows_and_totals() -> None:
    harness = InsightsHarness("go")
    harness.coder.user_list = [models.User("id-1", "ada")]
    harness.coder.add_usage(UsageEvent("go", "id-1", YESTERDAY, 600))
    await harness.poll()
    harness.coder.user_list = [models.User("id-1", "ada-lovelace")]
    harness.coder.add_usage(UsageEvent("go", "id-1", TODAY, 60))
    usage = usage_of(await harness.poll(after=300), "go")

    assert window(usage, "7d").activity == {"ada-lovelace": 660}
    assert usage.totals is not None
    assert usage.totals.users == {"ada-lovelace": 660}
