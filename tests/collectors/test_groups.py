"""Groups of Coder and teams of the teams file, with their members."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from insights_exporter.coder import models
from insights_exporter.collectors import InventoryCollector, InventoryState
from insights_exporter.config.settings import FilterSettings, NameFilter, PollSettings
from insights_exporter.config.teams import Team
from insights_exporter.errors import Forbidden, ServerError, UnsupportedEndpoint, UpstreamError
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import Group
from tests.support.clock import FakeClock
from tests.support.log_events import log_events
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder

ADA, BO, CLEO = (models.GroupMember(f"id-of-{name}", name) for name in ("ada", "bo", "cleo"))
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def group(name: str, *members: models.GroupMember, **fields: object) -> models.Group:
    defaults = {"organization_id": "id-of-acme", "organization_name": "acme"}
    count = {"total_member_count": len(members)}
    return models.Group(f"id-of-{name}", name, members=list(members), **(defaults | count | fields))  # type: ignore[arg-type]  # The names are fields.


class GroupHarness:
    """An inventory collector with a scripted Coder that has users and groups."""

    def __init__(self, *groups: models.Group, teams: tuple[Team, ...] = (), **filters: NameFilter) -> None:
        self.clock = FakeClock()
        self.coder = ScriptedCoder(self.clock, group_list=list(groups))
        self.coder.user_list = [models.User(user.id, user.username) for user in (ADA, BO, CLEO)]
        self.telemetry = RecordingTelemetry()
        self.state = InventoryState()
        self.collector = InventoryCollector(
            poll=PollSettings(),
            filters=Filters(FilterSettings(**filters)),
            telemetry=self.telemetry,
            state=self.state,
            teams=teams,
        )

    async def poll(self, after: float = 0) -> list[Group]:
        """Advance the clock, and collect."""
        self.clock.advance(after)
        return list((await self.collector.collect(self.coder, now=self.clock.now())).value.groups)

    def fail_groups(self, error: UpstreamError | None) -> None:
        """Let requests for groups fail from now on."""
        self.coder.error_for = lambda call: error if call == ApiCall("groups") else None


async def test_a_group_has_its_display_name_and_its_allowance() -> None:
    harness = GroupHarness(group("web", ADA, BO, display_name="Web", quota_allowance=20))

    assert await harness.poll() == [
        Group("acme", "Web", {"id-of-ada": "ada", "id-of-bo": "bo"}, quota_allowance=20)
    ]


async def test_groups_with_the_same_display_name_keep_their_unique_names() -> None:
    same = {"display_name": "Web"}
    groups = (group("web-eu", **same), group("web-us", **same), group("web", organization_id="2", **same))

    assert [found.name for found in await GroupHarness(*groups).poll()] == ["web-eu", "web-us", "Web"]


async def test_members_that_the_token_may_not_read_are_counted() -> None:
    (found,) = await GroupHarness(group("web", ADA, total_member_count=3)).poll()

    assert (len(found.members), found.hidden_members) == (1, 2)


async def test_filters_exclude_organizations_and_users() -> None:
    groups = (group("web", ADA, BO), group("secret", ADA, organization_name="labs"))
    harness = GroupHarness(*groups, organizations=NameFilter(deny=("labs",)), users=NameFilter(deny=("ada",)))

    assert [(found.name, [*found.members.values()]) for found in await harness.poll()] == [("web", ["bo"])]


async def test_groups_are_read_once_an_hour() -> None:
    harness = GroupHarness(group("web"))
    for _ in range(24):
        await harness.poll(after=300)

    assert [call.endpoint for call in harness.coder.calls].count("groups") in {2, 3}


@pytest.mark.parametrize(
    "error",
    [Forbidden("no licence", endpoint="/groups"), UnsupportedEndpoint("open source", endpoint="/groups")],
    ids=repr,
)
async def test_a_deployment_without_groups_is_no_error_and_logged_once(
    error: UpstreamError, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    harness = GroupHarness(group("web"))
    harness.fail_groups(error)
    polls = [await harness.poll(after=3600) for _ in range(3)]

    assert polls == [[], [], []]
    assert harness.telemetry.errors == []
    assert [event["event"] for event in log_events(caplog)].count("groups not available") == 1


async def test_groups_outlast_errors_until_they_are_too_old() -> None:
    """The list is read hourly and is current in between; ``max_staleness`` is half an hour."""
    harness = GroupHarness(group("web"))
    await harness.poll()
    harness.fail_groups(ServerError("broken", endpoint="/groups", status=500))
    counts = [len(await harness.poll(after=300)) for _ in range(24)]

    assert counts[:6] == [1] * 6
    assert counts[-6:] == [0] * 6
    assert ("inventory", "server_error") in harness.telemetry.errors


async def test_a_user_may_be_in_several_teams_and_groups() -> None:
    teams = (Team("Web", ("ada", "b*")), Team("Ops", ("*",)))
    found = await GroupHarness(group("web", ADA), teams=teams).poll()

    assert [(one.organization_name, one.name, [*one.members.values()]) for one in found] == [
        ("acme", "web", ["ada"]),
        ("", "Web", ["ada", "bo"]),
        ("", "Ops", ["ada", "bo", "cleo"]),
    ]
    assert {one.quota_allowance for one in found[1:]} == {None}


async def test_teams_follow_the_list_of_users() -> None:
    harness = GroupHarness(teams=(Team("Web", ("d*",)),))
    before = await harness.poll()
    harness.coder.user_list.append(models.User("id-of-dan", "dan"))
    after = await harness.poll(after=3600)

    assert [[*one.members.values()] for one in (*before, *after)] == [[], ["dan"]]
