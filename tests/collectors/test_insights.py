"""What answers on the use of templates come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from insights_exporter.coder import responses
from insights_exporter.settings import FilterSettings, NameFilter
from insights_exporter.snapshot import (
    Account,
    Agent,
    App,
    Inventory,
    Parameter,
    ParameterOption,
    Template,
    TemplateKey,
    Workspace,
)
from tests.collectors.collecting import (
    NOW,
    TODAY,
    YESTERDAY,
    Exporter,
    use_of,
    window,
)
from tests.support.scripted import Used


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


async def test_renamed_user_is_one_user_of_the_week_and_of_the_total() -> None:
    exporter = Exporter("go")
    exporter.coder.accounts = [responses.User("id-1", "ada")]
    exporter.coder.use(Used("go", "id-1", YESTERDAY, 600))
    await exporter.poll()
    exporter.coder.accounts = [responses.User("id-1", "ada-lovelace")]
    exporter.coder.use(Used("go", "id-1", TODAY, 60))
    use = use_of(await exporter.poll(after=300), "go")

    assert window(use, "7d").activity == {"ada-lovelace": 660}
    assert use.totals is not None
    assert use.totals.users == {"ada-lovelace": 660}
