"""What exists, as far as the token may see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from insights_exporter.coder import responses
from insights_exporter.coder.version import ServerVersion
from insights_exporter.collectors import InventoryCollector, InventoryState
from insights_exporter.errors import Forbidden, NotReady, ServerError, UpstreamError
from insights_exporter.filters import Filters
from insights_exporter.settings import FilterSettings, NameFilter, PollSettings
from insights_exporter.snapshot import BuildDuration, Inventory, ParameterOption, TemplateKey
from tests.support.clock import FakeClock
from tests.support.scripted import Call, ScriptedCoder, template
from tests.support.told import Told

NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Exporter:
    """An inventory collector with everything around it."""

    def __init__(self, filters: FilterSettings | None = None) -> None:
        self.clock = FakeClock()
        self.coder = ScriptedCoder(self.clock)
        self.told = Told()
        self.collector = InventoryCollector(
            poll=PollSettings(),
            filters=Filters(filters or FilterSettings()),
            telemetry=self.told,
            state=InventoryState(),
        )

    async def poll(self, after: float = 0) -> Inventory:
        """Let some time pass, and collect."""
        self.clock.advance(after)
        self.coder.calls.clear()
        return (await self.collector.collect(self.coder, now=self.clock.now())).value

    def asked(self, endpoint: str) -> int:
        """Return how often that was asked in the last poll."""
        return len([call for call in self.coder.calls if call.endpoint == endpoint])


def failing(error: UpstreamError, endpoint: str) -> Callable[[Call], Exception | None]:
    return lambda call: error if call.endpoint == endpoint else None


def option(value: str) -> responses.ParameterOption:
    return responses.ParameterOption(value.upper(), value)


def workspace(identity: str, of: str, **traits: object) -> responses.Workspace:
    told = {
        "id": identity,
        "name": "dev",
        "owner_name": "ada",
        "template_id": of,
        "template_name": of,
        "organization_name": "acme",
        "latest_build": {"status": "running"},
    }
    return msgspec.convert(told | traits, responses.Workspace)


async def test_template_is_told_with_its_durations() -> None:
    exporter = Exporter()
    durations = {"start": responses.BuildTime(41250, 90210), "stop": responses.BuildTime()}
    exporter.coder.listed = [
        msgspec.structs.replace(
            template("go"), display_name="Go", icon="/go.svg", deprecated=True, build_time_stats=durations
        )
    ]
    found = (await exporter.poll()).templates[0]

    assert found.key == TemplateKey("acme", "go")
    assert (found.display_name, found.icon, found.deprecated) == ("Go", "/go.svg", True)
    assert found.build_durations == {"start": BuildDuration(41.25, 90.21), "stop": BuildDuration()}


async def test_parameters_are_read_again_only_for_a_new_version() -> None:
    exporter = Exporter()
    exporter.coder.listed = [template("go", version="v1")]
    exporter.coder.declared = {
        "v1": [responses.RichParameter("region", type="string", options=[option("eu")])],
        "v2": [responses.RichParameter("region", type="string", options=[option("eu"), option("us")])],
    }
    await exporter.poll()
    first = exporter.asked("rich_parameters")
    for _ in range(24):
        await exporter.poll(after=300)
        assert exporter.asked("rich_parameters") == 0
    exporter.coder.listed = [template("go", version="v2")]
    found = (await exporter.poll(after=300)).templates[0]

    assert first == 1
    assert [one.value for one in found.parameters[0].options] == ["eu", "us"]


async def test_parameters_of_the_old_version_stand_while_the_new_one_is_imported() -> None:
    exporter = Exporter()
    exporter.coder.listed = [template("go", version="v1")]
    exporter.coder.declared = {"v1": [responses.RichParameter("region")]}
    await exporter.poll()
    exporter.coder.listed = [template("go", version="v2")]
    exporter.coder.fault = failing(
        NotReady("soon", endpoint="/templateversions", status=425), "rich_parameters"
    )
    found = (await exporter.poll(after=300)).templates[0]

    assert [one.name for one in found.parameters] == ["region"]
    assert exporter.told.errors == [("inventory", "not_ready")]


async def test_parameter_declared_twice_is_one_with_all_options() -> None:
    exporter = Exporter()
    exporter.coder.listed = [template("go", version="v1")]
    exporter.coder.declared = {
        "v1": [
            responses.RichParameter("region", type="string", options=[option("eu"), option("us")]),
            responses.RichParameter("region", type="string", options=[option("us"), option("ap")]),
        ]
    }
    found = (await exporter.poll()).templates[0]

    assert len(found.parameters) == 1
    assert found.parameters[0].options == tuple(
        ParameterOption(one, one.upper()) for one in ("eu", "us", "ap")
    )


async def test_of_two_templates_of_one_name_the_newer_counts() -> None:
    """One was deleted and made again between two pages of an answer."""
    exporter = Exporter()
    old = msgspec.structs.replace(template("old"), name="go")
    new = msgspec.structs.replace(template("new", created_at=datetime(2026, 1, 1, tzinfo=UTC)), name="go")
    exporter.coder.listed = [new, old]

    assert [one.id for one in (await exporter.poll()).templates] == ["new"]


async def test_one_name_in_two_organizations_is_two_templates() -> None:
    exporter = Exporter()
    exporter.coder.listed = [
        msgspec.structs.replace(template("a"), name="go"),
        msgspec.structs.replace(template("b", organization="beta"), name="go"),
    ]

    assert [one.key for one in (await exporter.poll()).templates] == [("acme", "go"), ("beta", "go")]


async def test_organization_without_a_name_goes_by_its_id() -> None:
    exporter = Exporter()
    exporter.coder.listed = [msgspec.structs.replace(template("go"), organization_name="")]

    assert (await exporter.poll()).templates[0].key == ("id-of-acme", "go")


async def test_workspace_is_told_with_its_agents() -> None:
    exporter = Exporter()
    exporter.coder.version = ServerVersion.parse("v2.35.1+abc")
    exporter.coder.listed = [template("go")]
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
    exporter.coder.machines = [workspace("w", "go", latest_build=build)]
    found = (await exporter.poll()).workspaces[0]
    told = found.agents[0]

    assert (found.key, found.status, found.owner) == (("acme", "go"), "running", "ada")
    assert (told.status, told.outdated) == ("connected", True)
    assert (told.relay, told.relay_latency) == ("Frankfurt", 0.0125)
    assert [(app.slug, app.external) for app in told.apps] == [("code", False), ("wiki", True)]


async def test_agent_of_the_servers_version_is_current() -> None:
    exporter = Exporter()
    exporter.coder.version = ServerVersion.parse("v2.35.1+abc")
    agents = [{"id": "a", "version": "v2.35.1+abc"}, {"id": "b", "version": ""}]
    build = {"status": "running", "resources": [{"agents": agents}]}
    exporter.coder.machines = [workspace("w", "go", latest_build=build)]
    found = (await exporter.poll()).workspaces[0]

    assert [agent.outdated for agent in found.agents] == [False, False]


async def test_dormant_workspace_is_dormant() -> None:
    exporter = Exporter()
    exporter.coder.machines = [
        workspace("w", "go", dormant_at="2026-01-01T00:00:00Z"),
        workspace("x", "go", dormant_at="0001-01-01T00:00:00Z"),
    ]

    assert [one.status for one in (await exporter.poll()).workspaces] == ["dormant", "running"]


async def test_users_are_read_once_an_hour() -> None:
    exporter = Exporter()
    exporter.coder.accounts = [responses.User("1", "ada", "Ada", "/a.png", "active", last_seen_at=NEVER)]
    first = await exporter.poll()
    asked = 0
    for _ in range(12):
        latest = await exporter.poll(after=300)
        asked += exporter.asked("users")

    assert [(one.username, one.display_name, one.last_seen) for one in first.users] == [("ada", "Ada", None)]
    assert asked == 1
    assert latest.users is first.users


async def test_what_the_token_may_not_list_is_empty_and_told() -> None:
    exporter = Exporter()
    exporter.coder.listed = [template("go")]
    exporter.coder.fault = failing(Forbidden("no", endpoint="/users", status=403), "users")
    found = await exporter.poll()

    assert found.users == ()
    assert len(found.templates) == 1
    assert exporter.told.errors == [("inventory", "forbidden")]


async def test_list_that_fails_stands_until_it_is_too_old() -> None:
    exporter = Exporter()
    exporter.coder.machines = [workspace("w", "go")]
    await exporter.poll()
    exporter.coder.fault = failing(ServerError("broken", endpoint="/workspaces", status=500), "workspaces")
    soon = await exporter.poll(after=1800)
    late = await exporter.poll(after=60)

    assert len(soon.workspaces) == 1
    assert late.workspaces == ()


async def test_without_templates_there_is_no_inventory() -> None:
    exporter = Exporter()
    exporter.coder.fault = failing(ServerError("broken", endpoint="/templates", status=500), "templates")

    with pytest.raises(ServerError):
        await exporter.poll()


async def test_what_is_filtered_is_not_there() -> None:
    filters = FilterSettings(
        organizations=NameFilter(deny=("lab",)),
        templates=NameFilter(allow=("go*", "acme/rust")),
        users=NameFilter(deny=("svc-*",)),
    )
    exporter = Exporter(filters)
    exporter.coder.listed = [
        template("go-dev"),
        template("rust"),
        template("zig"),
        template("go-lab", organization="lab"),
    ]
    exporter.coder.machines = [workspace("w", "rust"), workspace("x", "zig")]
    exporter.coder.accounts = [responses.User("1", "ada"), responses.User("2", "svc-ci")]
    found = await exporter.poll()

    assert [one.key.template_name for one in found.templates] == ["go-dev", "rust"]
    assert [one.id for one in found.workspaces] == ["w"]
    assert [one.username for one in found.users] == ["ada"]


async def test_moments_are_in_utc() -> None:
    exporter = Exporter()
    zoned = datetime.fromisoformat("2026-01-10T10:00:00+02:00")
    exporter.coder.listed = [template("go", created_at=zoned)]
    created = (await exporter.poll()).templates[0].created_at

    assert created is not None
    assert created == zoned
    assert created.utcoffset() == timedelta()
