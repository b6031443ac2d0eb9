"""The inventory collector: templates, users and workspaces that the token may read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from insights_exporter.coder import models
from insights_exporter.coder.versions import ServerVersion
from insights_exporter.collectors import InventoryCollector, InventoryState
from insights_exporter.config.settings import FilterSettings, NameFilter, PollSettings
from insights_exporter.errors import Forbidden, NotReady, ServerError, UpstreamError
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import BuildDuration, Inventory, ParameterOption, TemplateKey
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder, template

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)


class InventoryHarness:
    """An inventory collector with a scripted Coder."""

    def __init__(self, filters: FilterSettings | None = None, poll: PollSettings | None = None) -> None:
        self.clock = FakeClock()
        self.coder = ScriptedCoder(self.clock)
        self.telemetry = RecordingTelemetry()
        self.collector = InventoryCollector(
            poll=poll or PollSettings(),
            filters=Filters(filters or FilterSettings()),
            telemetry=self.telemetry,
            state=InventoryState(),
        )

    async def poll(self, after: float = 0) -> Inventory:
        """Advance the clock, and collect."""
        self.clock.advance(after)
        self.coder.calls.clear()
        return (await self.collector.collect(self.coder, now=self.clock.now())).value

    def request_count(self, endpoint: str) -> int:
        """Return the number of requests to an endpoint in the last poll."""
        return len([call for call in self.coder.calls if call.endpoint == endpoint])

    async def request_counts(self, endpoint: str, *, polls: int) -> list[int]:
        """Return the number of requests to an endpoint in each of the next polls, 5 minutes apart."""
        counts = []
        for _ in range(polls):
            await self.poll(after=300)
            counts.append(self.request_count(endpoint))
        return counts


def fail_endpoint(error: UpstreamError, endpoint: str) -> Callable[[ApiCall], Exception | None]:
    return lambda call: error if call.endpoint == endpoint else None


def option(value: str) -> models.ParameterOption:
    return models.ParameterOption(value.upper(), value)


def workspace(workspace_id: str, template_id: str, **overrides: object) -> models.Workspace:
    defaults = {
        "id": workspace_id,
        "name": "dev",
        "owner_name": "ada",
        "template_id": template_id,
        "template_name": template_id,
        "organization_name": "acme",
        "latest_build": {"status": "running"},
    }
    return msgspec.convert(defaults | overrides, models.Workspace)


async def test_template_has_build_durations() -> None:
    harness = InventoryHarness()
    durations = {"start": models.BuildTime(41250, 90210), "stop": models.BuildTime()}
    harness.coder.template_list = [
        msgspec.structs.replace(
            template("go"), display_name="Go", icon="/go.svg", deprecated=True, build_time_stats=durations
        )
    ]
    found_template = (await harness.poll()).templates[0]

    assert found_template.key == TemplateKey("acme", "go")
    assert (found_template.display_name, found_template.icon, found_template.deprecated) == (
        "Go",
        "/go.svg",
        True,
    )
    assert found_template.build_durations == {"start": BuildDuration(41.25, 90.21), "stop": BuildDuration()}


async def test_parameters_are_fetched_once_per_version() -> None:
    harness = InventoryHarness()
    harness.coder.template_list = [template("go", version="v1")]
    harness.coder.parameters_by_version = {
        "v1": [models.RichParameter("region", type="string", options=[option("eu")])],
        "v2": [models.RichParameter("region", type="string", options=[option("eu"), option("us")])],
    }
    await harness.poll()
    first_requests = harness.request_count("rich_parameters")
    for _ in range(24):
        await harness.poll(after=300)
        assert harness.request_count("rich_parameters") == 0
    harness.coder.template_list = [template("go", version="v2")]
    updated = (await harness.poll(after=300)).templates[0]

    assert first_requests == 1
    assert [option_.value for option_ in updated.parameters[0].options] == ["eu", "us"]


async def test_previous_parameters_are_kept_while_new_version_imports() -> None:
    harness = InventoryHarness()
    harness.coder.template_list = [template("go", version="v1")]
    harness.coder.parameters_by_version = {"v1": [models.RichParameter("region")]}
    await harness.poll()
    harness.coder.template_list = [template("go", version="v2")]
    harness.coder.error_for = fail_endpoint(
        NotReady("soon", endpoint="/templateversions", status=425), "rich_parameters"
    )
    updated = (await harness.poll(after=300)).templates[0]

    assert [parameter.name for parameter in updated.parameters] == ["region"]
    assert harness.telemetry.errors == [("inventory", "not_ready")]


async def test_incomplete_parameters_of_a_version_are_requested_again() -> None:
    """The response for the new version has an invalid row; those of the previous version are kept."""
    harness = InventoryHarness()
    harness.coder.template_list = [template("go", version="v1")]
    harness.coder.parameters_by_version = {
        "v1": [models.RichParameter("region")],
        "v2": [models.RichParameter("region"), models.RichParameter("size")],
    }
    await harness.poll()
    harness.coder.template_list = [template("go", version="v2")]
    harness.coder.has_invalid_row = lambda call: call.endpoint == "rich_parameters"
    incomplete = (await harness.poll(after=300)).templates[0]
    harness.coder.has_invalid_row = lambda _: False
    complete = (await harness.poll(after=300)).templates[0]

    assert [parameter.name for parameter in incomplete.parameters] == ["region"]
    assert [parameter.name for parameter in complete.parameters] == ["region", "size"]


async def test_template_list_with_invalid_row_is_incomplete() -> None:
    harness = InventoryHarness()
    harness.coder.template_list = [template("go"), template("rust")]
    complete = await harness.poll()
    harness.coder.has_invalid_row = lambda call: call.endpoint == "templates"
    incomplete = await harness.poll(after=300)

    assert (complete.templates_complete, incomplete.templates_complete) == (True, False)
    assert [one.key.template_name for one in incomplete.templates] == ["go"]


async def test_duplicate_parameter_merges_options() -> None:
    harness = InventoryHarness()
    harness.coder.template_list = [template("go", version="v1")]
    harness.coder.parameters_by_version = {
        "v1": [
            models.RichParameter("region", type="string", options=[option("eu"), option("us")]),
            models.RichParameter("region", type="string", options=[option("us"), option("ap")]),
        ]
    }
    found_template = (await harness.poll()).templates[0]

    assert len(found_template.parameters) == 1
    assert found_template.parameters[0].options == tuple(
        ParameterOption(value, value.upper()) for value in ("eu", "us", "ap")
    )


async def test_newer_template_wins_on_duplicate_name() -> None:
    """A template can be deleted and created again between two pages of the list."""
    harness = InventoryHarness()
    old = msgspec.structs.replace(template("old"), name="go")
    new = msgspec.structs.replace(template("new", created_at=datetime(2026, 1, 1, tzinfo=UTC)), name="go")
    harness.coder.template_list = [new, old]

    assert [row.id for row in (await harness.poll()).templates] == ["new"]


async def test_same_name_in_two_organizations_is_two_templates() -> None:
    harness = InventoryHarness()
    harness.coder.template_list = [
        msgspec.structs.replace(template("a"), name="go"),
        msgspec.structs.replace(template("b", organization="beta"), name="go"),
    ]

    assert [row.key for row in (await harness.poll()).templates] == [("acme", "go"), ("beta", "go")]


async def test_organization_name_falls_back_to_id() -> None:
    harness = InventoryHarness()
    harness.coder.template_list = [msgspec.structs.replace(template("go"), organization_name="")]

    assert (await harness.poll()).templates[0].key == ("id-of-acme", "go")


async def test_workspace_has_its_agents() -> None:
    harness = InventoryHarness()
    harness.coder.version = ServerVersion.parse("v2.35.1+abc")
    harness.coder.template_list = [template("go")]
    agent = {
        "id": "a",
        "name": "main",
        "status": "connected",
        "version": "v2.30.0+old",
        "latency": {
            "Frankfurt": {"preferred": True, "latency_ms": 12.5},
            "Sydney": {"preferred": False, "latency_ms": 300},
        },
        "apps": [{"slug": "code", "health": "healthy"}, {"slug": "wiki", "external": True}],
    }
    build = {"status": "running", "resources": [{"agents": [agent]}]}
    harness.coder.workspace_list = [workspace("w", "go", latest_build=build)]
    found_workspace = (await harness.poll()).workspaces[0]
    found_agent = found_workspace.agents[0]

    assert (found_workspace.key, found_workspace.status, found_workspace.owner) == (
        ("acme", "go"),
        "running",
        "ada",
    )
    assert (found_agent.status, found_agent.outdated) == ("connected", True)
    assert (found_agent.relay, found_agent.relay_latency) == ("Frankfurt", 0.0125)
    assert [(app.slug, app.external) for app in found_agent.apps] == [("code", False), ("wiki", True)]


async def test_agent_with_server_version_is_not_outdated() -> None:
    harness = InventoryHarness()
    harness.coder.version = ServerVersion.parse("v2.35.1+abc")
    agents = [{"id": "a", "version": "v2.35.1+abc"}, {"id": "b", "version": ""}]
    build = {"status": "running", "resources": [{"agents": agents}]}
    harness.coder.workspace_list = [workspace("w", "go", latest_build=build)]
    found_workspace = (await harness.poll()).workspaces[0]

    assert [agent.outdated for agent in found_workspace.agents] == [False, False]


async def test_dormancy_does_not_change_the_status_of_a_workspace() -> None:
    """A dormant workspace may still run."""
    harness = InventoryHarness()
    harness.coder.workspace_list = [
        workspace("w", "go", dormant_at="2026-01-01T00:00:00Z", deleting_at="2026-02-01T00:00:00Z"),
        workspace("x", "go", dormant_at="0001-01-01T00:00:00Z", deleting_at=None),
    ]
    workspaces = (await harness.poll()).workspaces

    assert [row.status for row in workspaces] == ["running", "running"]
    assert [row.is_dormant for row in workspaces] == [True, False]
    assert [row.deleting_at for row in workspaces] == [datetime(2026, 2, 1, tzinfo=UTC), None]


async def test_workspace_has_transition_and_job_status_of_its_latest_build() -> None:
    harness = InventoryHarness()
    build = {"status": "failed", "transition": "stop", "job": {"status": "canceled"}}
    harness.coder.workspace_list = [workspace("w", "go", latest_build=build), workspace("x", "go")]

    assert [(row.transition, row.job_status) for row in (await harness.poll()).workspaces] == [
        ("stop", "canceled"),
        ("", ""),
    ]


async def test_workspace_has_autostop_cost_and_prebuild_flag() -> None:
    harness = InventoryHarness()
    build = {"status": "running", "deadline": "2026-01-14T18:00:00Z", "daily_cost": 12}
    no_deadline = {"status": "running", "deadline": "0001-01-01T00:00:00Z"}
    harness.coder.workspace_list = [
        workspace("w", "go", latest_build=build),
        workspace("x", "go", latest_build=no_deadline, is_prebuild=True),
    ]
    workspaces = (await harness.poll()).workspaces

    assert [(row.has_autostop, row.daily_cost, row.is_prebuild) for row in workspaces] == [
        (True, 12, False),
        (False, 0, True),
    ]


async def test_users_are_refreshed_hourly() -> None:
    harness = InventoryHarness()
    harness.coder.user_list = [models.User("1", "ada", "Ada", "/a.png", "active", last_seen_at=ZERO_TIME)]
    first = await harness.poll()
    request_count = 0
    for _ in range(12):
        latest = await harness.poll(after=300)
        request_count += harness.request_count("users")

    assert [(user.username, user.display_name, user.last_seen) for user in first.users] == [
        ("ada", "Ada", None)
    ]
    assert request_count == 1
    assert latest.users is first.users


@pytest.mark.parametrize(("every", "expected"), [(1, 12), (3, 4), (4, 3)])
async def test_workspaces_are_read_every_few_polls(every: int, expected: int) -> None:
    harness = InventoryHarness(poll=PollSettings(workspaces_every=every))
    harness.coder.workspace_list = [workspace("w", "go")]
    first = await harness.poll()
    counts = await harness.request_counts("workspaces", polls=12)
    latest = await harness.poll(after=300)

    assert sum(counts) == expected
    assert latest.workspaces is first.workspaces


@pytest.mark.parametrize(("changed", "expected"), [(2, 0), (3, 1)])
async def test_larger_change_of_build_statuses_refreshes_workspaces(changed: int, expected: int) -> None:
    """One percent of 200 workspaces is two."""
    harness = InventoryHarness(poll=PollSettings(workspaces_every=12))
    workspaces = [workspace(f"w{number}", "go") for number in range(200)]
    harness.coder.workspace_list = workspaces
    await harness.poll()
    stopped = [
        msgspec.structs.replace(row, latest_build=msgspec.structs.replace(row.latest_build, status="stopped"))
        for row in workspaces[:changed]
    ]
    harness.coder.workspace_list = stopped + workspaces[changed:]

    assert await harness.request_counts("workspaces", polls=1) == [expected]


async def test_new_workspace_of_small_deployment_is_read_at_the_next_poll() -> None:
    harness = InventoryHarness(poll=PollSettings(workspaces_every=12))
    await harness.poll()
    harness.coder.workspace_list = [workspace("w", "go")]

    assert len((await harness.poll(after=300)).workspaces) == 1


async def test_workspaces_follow_a_renamed_template_at_once() -> None:
    harness = InventoryHarness(poll=PollSettings(workspaces_every=12))
    harness.coder.template_list = [template("go")]
    harness.coder.workspace_list = [workspace("w", "go")]
    await harness.poll()
    harness.coder.template_list = [msgspec.structs.replace(template("go"), name="golang")]

    assert (await harness.poll(after=300)).workspaces[0].key == ("acme", "golang")


async def test_workspaces_follow_a_renamed_user_at_once() -> None:
    harness = InventoryHarness(poll=PollSettings(workspaces_every=12, refresh_interval=300))
    harness.coder.user_list = [models.User("1", "ada")]
    harness.coder.workspace_list = [workspace("w", "go", owner_name="ada")]
    await harness.poll()
    harness.coder.user_list = [models.User("1", "lovelace")]
    harness.coder.workspace_list = [workspace("w", "go", owner_name="lovelace")]

    inventory = await harness.poll(after=300)

    assert [account.username for account in inventory.users] == ["lovelace"]
    assert [row.owner for row in inventory.workspaces] == ["lovelace"]


async def test_upgrade_of_coder_marks_agents_as_outdated_at_once() -> None:
    harness = InventoryHarness(poll=PollSettings(workspaces_every=12))
    build = {"status": "running", "resources": [{"agents": [{"id": "a", "version": "v2.35.1"}]}]}
    harness.coder.workspace_list = [workspace("w", "go", latest_build=build)]
    before = await harness.poll()
    harness.coder.version = ServerVersion.parse("v2.36.0")
    after = await harness.poll(after=300)

    assert [inventory.workspaces[0].agents[0].outdated for inventory in (before, after)] == [False, True]


async def test_failed_workspace_list_is_requested_again_at_the_next_poll() -> None:
    harness = InventoryHarness(poll=PollSettings(workspaces_every=3))
    harness.coder.workspace_list = [workspace("w", "go")]
    await harness.poll()
    harness.coder.error_for = fail_endpoint(
        ServerError("broken", endpoint="/workspaces", status=500), "workspaces"
    )
    await harness.request_counts("workspaces", polls=3)
    harness.coder.error_for = lambda _: None

    assert await harness.request_counts("workspaces", polls=2) == [1, 0]


async def test_denied_deployment_counts_are_requested_hourly_and_not_reported() -> None:
    """Tokens with fine-grained scopes read workspaces, but no deployment counts."""
    harness = InventoryHarness()
    harness.coder.workspace_list = [workspace("w", "go")]
    harness.coder.error_for = fail_endpoint(
        Forbidden("no", endpoint="/deployment/stats", status=403), "deployment_stats"
    )
    await harness.poll()
    count_requests = await harness.request_counts("deployment_stats", polls=13)
    list_requests = await harness.request_counts("workspaces", polls=12)

    assert (sum(count_requests), sum(list_requests)) == (1, 4)
    assert harness.telemetry.errors == []


async def test_failed_deployment_counts_keep_the_workspaces() -> None:
    harness = InventoryHarness()
    harness.coder.workspace_list = [workspace("w", "go")]
    harness.coder.error_for = fail_endpoint(
        ServerError("broken", endpoint="/deployment/stats", status=500), "deployment_stats"
    )
    await harness.poll()

    assert sum(await harness.request_counts("workspaces", polls=12)) == 4
    assert harness.telemetry.errors == []


async def test_forbidden_list_is_empty_and_reported() -> None:
    harness = InventoryHarness()
    harness.coder.template_list = [template("go")]
    harness.coder.error_for = fail_endpoint(Forbidden("no", endpoint="/users", status=403), "users")
    inventory = await harness.poll()

    assert inventory.users == ()
    assert len(inventory.templates) == 1
    assert harness.telemetry.errors == [("inventory", "forbidden")]


async def test_failed_list_is_kept_until_max_staleness() -> None:
    harness = InventoryHarness()
    harness.coder.workspace_list = [workspace("w", "go")]
    await harness.poll()
    harness.coder.error_for = fail_endpoint(
        ServerError("broken", endpoint="/workspaces", status=500), "workspaces"
    )
    within_limit = await harness.poll(after=1800)
    after_limit = await harness.poll(after=60)

    assert len(within_limit.workspaces) == 1
    assert after_limit.workspaces == ()


async def test_failed_template_list_raises() -> None:
    harness = InventoryHarness()
    harness.coder.error_for = fail_endpoint(
        ServerError("broken", endpoint="/templates", status=500), "templates"
    )

    with pytest.raises(ServerError):
        await harness.poll()


async def test_filters_remove_entries() -> None:
    filters = FilterSettings(
        organizations=NameFilter(deny=("lab",)),
        templates=NameFilter(allow=("go*", "acme/rust")),
        users=NameFilter(deny=("svc-*",)),
    )
    harness = InventoryHarness(filters)
    harness.coder.template_list = [
        template("go-dev"),
        template("rust"),
        template("zig"),
        template("go-lab", organization="lab"),
    ]
    harness.coder.workspace_list = [workspace("w", "rust"), workspace("x", "zig")]
    harness.coder.user_list = [models.User("1", "ada"), models.User("2", "svc-ci")]
    inventory = await harness.poll()

    assert [row.key.template_name for row in inventory.templates] == ["go-dev", "rust"]
    assert [row.id for row in inventory.workspaces] == ["w"]
    assert [row.username for row in inventory.users] == ["ada"]


async def test_timestamps_are_in_utc() -> None:
    harness = InventoryHarness()
    zoned = datetime.fromisoformat("2026-01-10T10:00:00+02:00")
    harness.coder.template_list = [template("go", created_at=zoned)]
    created = (await harness.poll()).templates[0].created_at

    assert created is not None
    assert created == zoned
    assert created.utcoffset() == timedelta()
