"""The deployment as a whole, and what the token may do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.coder import responses
from insights_exporter.coder.version import ServerVersion
from insights_exporter.collectors import DeploymentCollector
from insights_exporter.errors import Forbidden, RouteMissing, ServerError, TokenExpired, UpstreamError
from insights_exporter.settings import PollSettings
from insights_exporter.snapshot import Deployment
from tests.support.clock import FakeClock
from tests.support.scripted import Call, ScriptedCoder
from tests.support.told import Told

DAY = datetime(2026, 1, 13, tzinfo=UTC)
SEATS = responses.Entitlements({"user_limit": responses.Entitlement("entitled", True, 50, 40)})


class Exporter:
    """A deployment collector with everything around it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.coder = ScriptedCoder(self.clock, licence=SEATS)
        self.told = Told()
        self.collector = DeploymentCollector(poll=PollSettings(), telemetry=self.told)

    async def poll(self, after: float = 0) -> Deployment:
        """Let some time pass, and collect."""
        self.clock.advance(after)
        self.coder.calls.clear()
        return (await self.collector.collect(self.coder, now=self.clock.now())).value


def failing(error: UpstreamError, endpoint: str) -> Callable[[Call], Exception | None]:
    return lambda call: error if call.endpoint == endpoint else None


async def test_version_and_address_are_told() -> None:
    found = await Exporter().poll()

    assert (found.version, found.deployment_id) == ("v2.35.1", "deployment-1")
    assert found.dashboard_url == "https://coder.example.com"


async def test_newest_count_of_each_status_is_told() -> None:
    exporter = Exporter()
    exporter.coder.statuses = {
        "active": [responses.StatusCount(DAY, 7), responses.StatusCount(DAY + timedelta(hours=10), 9)],
        "dormant": [responses.StatusCount(DAY + timedelta(hours=10), 2)],
    }

    assert (await exporter.poll()).users == {"active": 9, "dormant": 2, "suspended": 0}


async def test_seats_of_the_licence_are_told() -> None:
    assert (await Exporter().poll()).license_user_limit == 50


async def test_edition_without_licence_has_no_limit() -> None:
    exporter = Exporter()
    missing = RouteMissing("no such route", endpoint="/entitlements", status=404)
    exporter.coder.fault = failing(missing, "entitlements")

    assert (await exporter.poll()).license_user_limit is None
    assert exporter.told.errors == []


async def test_permissions_and_the_tokens_end_are_told() -> None:
    exporter = Exporter()
    exporter.coder.refused = {"debug", "deployment_config"}
    exporter.coder.expiry = DAY
    await exporter.poll()

    assert exporter.told.permissions == {
        ("template", "view_insights"): True,
        ("template", "read"): True,
        ("user", "read"): True,
        ("workspace", "read"): True,
        ("deployment_stats", "read"): True,
        ("deployment_config", "read"): False,
        ("debug_info", "read"): False,
    }
    assert exporter.told.expiries == [DAY]


async def test_narrow_token_has_no_known_end() -> None:
    exporter = Exporter()
    exporter.coder.fault = failing(Forbidden("no", endpoint="/users/me/keys", status=403), "token_expiry")
    await exporter.poll()

    assert exporter.told.expiries == [None]
    assert exporter.told.errors == []


async def test_users_are_absent_where_they_may_not_be_counted() -> None:
    exporter = Exporter()
    exporter.coder.refused = {"users"}
    found = await exporter.poll()

    assert found.users == {}
    assert "user_status_counts" not in {call.endpoint for call in exporter.coder.calls}


async def test_users_are_absent_on_servers_that_do_not_count_them() -> None:
    exporter = Exporter()
    exporter.coder.version = ServerVersion(2, 18, 0)
    found = await exporter.poll()

    assert found.users == {}


async def test_what_hardly_moves_is_read_once_an_hour() -> None:
    exporter = Exporter()
    await exporter.poll()
    asked = 0
    for _ in range(12):
        await exporter.poll(after=300)
        asked += sum(call.endpoint == "entitlements" for call in exporter.coder.calls)

    assert asked == 1


async def test_part_that_fails_stands_and_is_read_at_the_next_poll() -> None:
    exporter = Exporter()
    exporter.coder.fault = failing(ServerError("broken", endpoint="/x", status=500), "user_status_counts")
    found = await exporter.poll()
    exporter.coder.fault = lambda _: None
    exporter.coder.statuses = {"active": [responses.StatusCount(DAY, 7)]}
    later = await exporter.poll(after=300)

    assert found.license_user_limit == 50
    assert exporter.told.errors == [("deployment", "server_error")]
    assert later.users["active"] == 7


async def test_token_that_is_not_accepted_is_an_error() -> None:
    exporter = Exporter()
    exporter.coder.fault = failing(TokenExpired("new one", endpoint="/authcheck", status=401), "authcheck")

    with pytest.raises(TokenExpired):
        await exporter.poll()
