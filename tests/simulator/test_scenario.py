"""The simulator returns the recorded responses of a real Coder for the same scenario."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.scenario import load_scenario
from tests.support.goldens import GOLDENS, golden

TOKEN = "abcdefghij-0123456789012345678901"
NOW = datetime(2023, 8, 23, 12, tzinfo=UTC)
REQUESTS: list[dict[str, Any]] = golden("scenario.json")["requests"]


def deployment(built_at: datetime = NOW) -> SimulatedDeployment:
    world = load_scenario(GOLDENS / "scenario.json", built_at=built_at)
    return SimulatedDeployment(world, Accounts([Account(token=TOKEN)]), lambda: NOW)


async def get_insights(simulated: SimulatedDeployment, path: str, query: dict[str, str]) -> Any:
    async with serve(simulated) as address, aiohttp.ClientSession() as session:
        url = f"{address}/api/v2/insights/{path}"
        async with session.get(url, params=query, headers={"Coder-Session-Token": TOKEN}) as response:
            return msgspec.json.decode(await response.read())


@pytest.mark.parametrize("query_case", REQUESTS, ids=lambda query_case: query_case["golden"])
async def test_template_insights_match_the_recording(query_case: dict[str, Any]) -> None:
    query = {
        "start_time": query_case["start_time"],
        "end_time": query_case["end_time"],
        "template_ids": ",".join(query_case["template_ids"]),
        "interval": query_case["interval"],
    }
    # The recorded deployment had no builds in these ranges.
    response = await get_insights(deployment(), "templates", query)

    assert golden("template/" + query_case["golden"]) == response


@pytest.mark.parametrize(
    "query_case",
    [one for one in REQUESTS if (GOLDENS / "user-activity" / one["golden"]).exists()],
    ids=lambda query_case: query_case["golden"],
)
async def test_user_activity_matches_the_recording(query_case: dict[str, Any]) -> None:
    query = {key: query_case[key] for key in ("start_time", "end_time")}
    query["template_ids"] = ",".join(query_case["template_ids"])
    response = await get_insights(deployment(), "user-activity", query)

    assert golden("user-activity/" + query_case["golden"]) == response


async def test_parameters_match_the_recording() -> None:
    """The recording has zero times and no usage in its range."""
    simulated = deployment(datetime(2023, 9, 1, 9, tzinfo=UTC))
    simulated.now = lambda: datetime(2023, 9, 1, 12, tzinfo=UTC)
    query = {"start_time": "2023-08-31T00:00:00Z", "end_time": "2023-09-01T12:00:00Z"}
    response = await get_insights(simulated, "templates", query)
    for field in ("start_time", "end_time"):
        response["report"][field] = "0001-01-01T00:00:00Z"

    assert golden("template/parameters_yesterday_and_today_deployment_wide.json.golden") == response


async def test_range_without_builds_has_no_parameters() -> None:
    query = {"start_time": "2023-08-29T00:00:00Z", "end_time": "2023-08-30T00:00:00Z"}
    simulated = deployment(datetime(2023, 9, 1, 9, tzinfo=UTC))
    simulated.now = lambda: datetime(2023, 9, 1, 12, tzinfo=UTC)
    response = await get_insights(simulated, "templates", query)
    for field in ("start_time", "end_time"):
        response["report"][field] = "0001-01-01T00:00:00Z"

    assert golden("template/parameters_two_days_ago-_no_data.json.golden") == response


@pytest.mark.parametrize("path", ["template", "user-activity"])
async def test_unused_deployment_matches_the_newer_recording(path: str) -> None:
    simulated = deployment()
    simulated.world = replace(simulated.world, usage_by_day={}, recorded_builds=())  # type: ignore[call-arg]  # It has both.
    query = {"start_time": "2023-08-15T00:00:00Z", "end_time": "2023-08-22T00:00:00Z"}
    if path == "template":
        query["interval"] = "day"
    response = await get_insights(simulated, {"template": "templates"}.get(path, path), query)

    assert golden(f"disabled/{path}.json.golden") == response
