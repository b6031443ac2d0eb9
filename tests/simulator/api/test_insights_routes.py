"""Insights routes compute Coder's rollup from the simulated events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.simulator.rollup import RollupDelay
from insights_exporter.simulator.usage import TERMINAL_SLUG, UserDay, minute_mask
from tests.support.api_client import NOW, WEEK, api_client, simulated_deployment

DAY = {"start_time": "2026-11-20T00:00:00Z", "end_time": "2026-11-21T00:00:00Z"}
DAY_OF_USE = date(2026, 11, 20)


@dataclass(slots=True)
class ScriptedUsageWorld(GeneratedWorld):
    """A world with the usage that a test defines."""

    user_days_by_date: Mapping[date, Iterable[UserDay]] = field(default_factory=dict)

    def usage_on(self, day: date) -> Iterable[UserDay]:
        """Return the usage of the test."""
        return self.user_days_by_date.get(day, ())


def deployment_with_usage(
    *user_days: UserDay, day: date = DAY_OF_USE, options: ApiOptions | None = None
) -> SimulatedDeployment:
    base_world = generate_world(Size(4, 6))
    world = ScriptedUsageWorld(
        base_world.organizations,
        base_world.templates,
        base_world.users,
        regions=base_world.regions,
        user_days_by_date={day: user_days},
    )
    return demo_deployment(Size(4, 6), now=lambda: NOW, world=world, options=options or ApiOptions())


async def get_report(deployment: SimulatedDeployment, query: Mapping[str, str] = DAY) -> Any:
    async with api_client(deployment) as client:
        return (await client("/insights/templates", query)).body["report"]


def seconds_by_slug(template_report: Any) -> dict[str, int]:
    return {app["slug"]: app["seconds"] for app in template_report["apps_usage"] if app["seconds"]}


async def test_five_builtin_apps_come_first() -> None:
    template_report = await get_report(deployment_with_usage())

    assert [(app["slug"], app["type"], app["seconds"]) for app in template_report["apps_usage"]] == [
        ("vscode", "builtin", 0),
        ("jetbrains", "builtin", 0),
        ("reconnecting-pty", "builtin", 0),
        ("ssh", "builtin", 0),
        ("sftp", "builtin", 0),
    ]
    assert (template_report["parameters_usage"], template_report["template_ids"]) == ([], [])


async def test_user_seconds_are_capped_at_30_minutes_per_half_hour() -> None:
    """Each template counts the whole half hour, the deployment counts it once."""
    hour = {"vscode": minute_mask(600, 660)}
    deployment = deployment_with_usage(UserDay(0, 0, hour), UserDay(1, 0, hour))
    world = deployment.world
    async with api_client(deployment) as client:
        deployment_activity = await client("/insights/user-activity", DAY)
        template_activity = [
            (await client("/insights/user-activity", {**DAY, "template_ids": item.id})).body["report"][
                "users"
            ]
            for item in world.templates[:2]
        ]
        apps = (await client("/insights/templates", DAY)).body["report"]

    assert [item["seconds"] for item in deployment_activity.body["report"]["users"]] == [3600]
    assert [[item["seconds"] for item in users] for users in template_activity] == [[3600], [3600]]
    assert seconds_by_slug(apps) == {"vscode": 3600}
    assert apps["template_ids"] == sorted(item.id for item in world.templates[:2])


async def test_overlapping_apps_count_once_in_user_activity() -> None:
    user_day = UserDay(
        0,
        0,
        {"vscode": minute_mask(600, 630), "ssh": minute_mask(600, 620)},
        {"code-server": minute_mask(610, 640)},
    )
    deployment = deployment_with_usage(user_day)
    async with api_client(deployment) as client:
        activity = (await client("/insights/user-activity", DAY)).body["report"]["users"]

    assert [user["seconds"] for user in activity] == [40 * 60]
    assert seconds_by_slug(await get_report(deployment)) == {"vscode": 1800, "ssh": 1200, "code-server": 1800}


async def test_opens_count_runs_of_consecutive_half_hours() -> None:
    """Two uses in one half hour, or across its end, are one open; a use after a gap is another."""
    mask = minute_mask(600, 605) | minute_mask(620, 640) | minute_mask(720, 725)
    template_report = await get_report(
        deployment_with_usage(
            UserDay(0, 0, {}, {"code-server": mask}), UserDay(0, 1, {}, {"code-server": mask})
        )
    )

    assert [app["times_used"] for app in template_report["apps_usage"] if app["slug"] == "code-server"] == [4]


async def test_terminal_app_counts_as_activity_without_a_row() -> None:
    template_report = await get_report(
        deployment_with_usage(UserDay(0, 0, {}, {TERMINAL_SLUG: minute_mask(600, 610)}))
    )

    assert template_report["active_users"] == 1
    assert seconds_by_slug(template_report) == {}


async def test_half_hours_cut_by_range_bounds_are_excluded() -> None:
    """With an offset of 15 minutes, the half hour around midnight belongs to neither day."""
    deployment = deployment_with_usage(UserDay(0, 0, {"vscode": minute_mask(0, 1440)}))
    query = {"start_time": "2026-11-20T00:00:00+05:45", "end_time": "2026-11-21T00:00:00+05:45"}

    assert seconds_by_slug(await get_report(deployment, query)) == {"vscode": 18 * 3600}


async def test_unmeasured_latency_is_minus_one() -> None:
    session_masks = {"vscode": minute_mask(600, 720)}
    deployment = deployment_with_usage(
        UserDay(0, 0, session_masks),
        UserDay(0, 1, session_masks, median_latency_ms={20: 10.0, 21: 20.0, 22: 40.0, 40: 999.0}),
    )
    async with api_client(deployment) as client:
        users = (await client("/insights/user-latency", DAY)).body["report"]["users"]

    assert [user["user_id"] for user in users] == sorted(user["user_id"] for user in users)
    assert [user["latency_ms"] for user in users] == [{"p50": -1, "p95": -1}, {"p50": 20, "p95": 38}]


async def test_same_slug_with_two_display_names_has_two_rows() -> None:
    app_masks = {"code-server": minute_mask(600, 610)}
    template_report = await get_report(
        deployment_with_usage(UserDay(0, 0, {}, app_masks), UserDay(3, 1, {}, app_masks))
    )
    rows = [
        (app["display_name"], app["seconds"])
        for app in template_report["apps_usage"]
        if app["slug"] == "code-server"
    ]

    assert rows == [("VS Code in the browser", 600), ("code-server", 600)]


async def test_parameter_with_two_declarations_has_two_rows() -> None:
    template_report = await get_report(simulated_deployment(Size(4, 60)), WEEK)
    regions = [
        parameter for parameter in template_report["parameters_usage"] if parameter["name"] == "region"
    ]
    order = [
        (parameter["name"], parameter["type"], parameter["display_name"], parameter["description"])
        for parameter in template_report["parameters_usage"]
    ]

    assert [parameter["description"] for parameter in regions] == [
        "Where the workspace runs.",
        "Which region to use.",
    ]
    assert "eu-west-1" in {parameter["value"] for parameter in regions[1]["values"]}
    assert order == sorted(order)
    assert any(
        value["value"] == ""
        for parameter in template_report["parameters_usage"]
        for value in parameter["values"]
    )
    assert all(
        "options" not in parameter
        for parameter in template_report["parameters_usage"]
        if parameter["name"] == "dotfiles"
    )
    for parameter in template_report["parameters_usage"]:
        assert [value["value"] for value in parameter["values"]] == sorted(
            value["value"] for value in parameter["values"]
        )


async def test_client_apps_have_separate_rows() -> None:
    family_report = await get_report(simulated_deployment(Size(4, 20)), WEEK)
    client_app_report = await get_report(simulated_deployment(Size(4, 20), client_apps=True), WEEK)
    rows = [app for app in client_app_report["apps_usage"] if app["type"] == "builtin"]
    vscode = sum(app["seconds"] for app in rows if app["family"] == "vscode")

    assert {"cursor", "unknown", "overflow"} < {app["slug"] for app in rows}
    assert {app["family"] for app in client_app_report["apps_usage"] if app["type"] == "app"} == {
        "workspace_app"
    }
    assert seconds_by_slug(client_app_report)["cursor"] > 0
    assert vscode == seconds_by_slug(family_report)["vscode"]


@pytest.mark.parametrize(
    ("sections", "keys"),
    [
        ("", {"report", "interval_reports"}),
        ("report", {"report"}),
        ("interval_reports", {"interval_reports"}),
        ("interval_reports,report", {"report", "interval_reports"}),
    ],
)
async def test_unrequested_sections_are_absent(sections: str, keys: set[str]) -> None:
    query = {**WEEK, "interval": "day"} | ({"sections": sections} if sections else {})
    async with api_client(simulated_deployment(Size(4, 20))) as client:
        response = await client("/insights/templates", query)

    assert response.body.keys() == keys


async def test_empty_interval_reports_are_absent() -> None:
    empty = {"start_time": WEEK["start_time"], "end_time": WEEK["start_time"]}
    async with api_client(simulated_deployment(Size(4, 20))) as client:
        without_interval = await client("/insights/templates", WEEK)
        without_range = await client("/insights/templates", {**empty, "interval": "day"})

    assert without_interval.body.keys() == without_range.body.keys() == {"report"}


async def test_all_parameter_errors_are_returned_together() -> None:
    query = [
        ("start_time", " "),
        ("interval", "day"),
        ("interval", "week"),
        ("foo", "1"),
        ("template_ids", "7,x"),
    ]
    async with api_client(simulated_deployment(Size(4, 20))) as client:
        response = await client("/insights/templates", query)

    assert response.status == 400
    assert response.body["message"] == "Query parameters have invalid values."
    assert response.field_errors.keys() == {"start_time", "end_time", "interval", "template_ids", "foo"}
    assert response.field_errors["start_time"] == 'Query param "start_time" is required and cannot be empty'
    assert "provided more than once, found 2 times" in response.field_errors["interval"]
    assert response.field_errors["template_ids"].startswith('Query param "template_ids" has invalid values:')
    assert response.field_errors["foo"] == '"foo" is not a valid query param'


async def test_unknown_section_is_rejected() -> None:
    async with api_client(simulated_deployment(Size(4, 20))) as client:
        response = await client("/insights/templates", {**WEEK, "sections": "report,horoscope"})

    assert list(response.field_errors) == ["sections"]
    assert response.field_errors["sections"].startswith("must be one of [interval_reports report]")


async def test_user_activity_rejects_interval() -> None:
    async with api_client(simulated_deployment(Size(4, 20))) as client:
        response = await client("/insights/user-activity", {**WEEK, "interval": "day"})

    assert response.field_errors == {"interval": '"interval" is not a valid query param'}


async def test_token_in_the_query_is_an_unknown_parameter() -> None:
    async with api_client(simulated_deployment(Size(4, 20))) as client:
        response = await client(
            "/insights/templates", {**WEEK, "coder_session_token": "insightsxp-demotokendemotokendemo"}
        )

    assert list(response.field_errors) == ["coder_session_token"]


async def test_response_keeps_requested_utc_offset() -> None:
    query = {
        "start_time": "2026-11-18T00:00:00+02:00",
        "end_time": "2026-11-21T00:00:00+02:00",
        "interval": "day",
    }
    async with api_client(simulated_deployment(Size(4, 20))) as client:
        response = await client("/insights/templates", query)

    assert response.body["report"]["start_time"] == query["start_time"]
    assert [interval_report["start_time"] for interval_report in response.body["interval_reports"]] == [
        "2026-11-18T00:00:00+02:00",
        "2026-11-19T00:00:00+02:00",
        "2026-11-20T00:00:00+02:00",
    ]


@pytest.mark.parametrize(("hour", "entries"), [(14, 61), (23, 60)])
async def test_daily_users_cover_sixty_days(hour: int, entries: int) -> None:
    deployment = simulated_deployment(Size(4, 20))
    deployment.now = lambda: NOW.replace(hour=hour)
    async with api_client(deployment) as client:
        response = await client("/insights/daus")
        shifted = await client("/insights/daus", {"tz_offset": "-5"})
        invalid = await client("/insights/daus", {"timezone": "UTC"})
        day = await client(
            "/insights/templates", {"start_time": "2026-11-23T00:00:00Z", "end_time": "2026-11-24T00:00:00Z"}
        )
    by_date = {entry["date"]: entry["amount"] for entry in response.body["entries"]}

    assert len(response.body["entries"]) == entries
    assert by_date["2026-11-23"] == day.body["report"]["active_users"]
    # The offset shifts the label, not the day.
    assert [entry["amount"] for entry in shifted.body["entries"]] == list(by_date.values())
    assert shifted.body["tz_hour_offset"] == -5
    assert invalid.status == 400


async def test_disabled_usage_stats_affect_four_routes_only() -> None:
    deployment = simulated_deployment(Size(4, 20))
    deployment.world.usage_stats_enabled = False
    template_id = deployment.world.templates[0].id
    async with api_client(deployment) as client:
        disabled_errors = [
            (await client(f"/insights/{route}")).error
            for route in ("templates", "user-activity", "user-latency", "daus")
        ]
        other_statuses = [
            (await client(route)).status
            for route in (
                "/insights/user-status-counts",
                f"/templates/{template_id}/daus",
                "/templates",
                "/users",
            )
        ]

    assert disabled_errors == [(404, "Not Found.", "Template insights are disabled.")] * 4
    assert other_statuses == [200] * 4


async def test_older_versions_ignore_disabled_usage_stats() -> None:
    deployment = simulated_deployment(Size(4, 20), version="v2.29.0")
    deployment.world.usage_stats_enabled = False
    async with api_client(deployment) as client:
        assert (await client("/insights/templates", WEEK)).status == 200


# Freshness


async def test_the_rollup_runs_every_five_minutes() -> None:
    deployment = deployment_with_usage(UserDay(0, 0, {"vscode": minute_mask(0, 1440)}), day=NOW.date())
    today = {"start_time": "2026-11-24T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}

    assert seconds_by_slug(await get_report(deployment, today)) == {"vscode": (14 * 60 + 5) * 60}


def test_delayed_usage_appears_within_two_hours_and_stays() -> None:
    world = deployment_with_usage(
        *(UserDay(0, user, {"vscode": minute_mask(0, 1440)}) for user in range(6))
    ).world
    world.rollup_delay = RollupDelay(fraction=0.5)
    start = datetime(2026, 11, 20, tzinfo=UTC)
    without_delay = replace(world.rollup_delay, fraction=0.0)
    delayed_steps, last_delayed = 0, 0
    for step in range(12 * 27):
        now = start + timedelta(minutes=5 * step)
        world.rollup_delay = RollupDelay(fraction=0.5)
        delayed = sum(world.rollup(start, start + timedelta(days=1), now=now).user_minutes.values())
        world.rollup_delay = without_delay
        complete = sum(world.rollup(start, start + timedelta(days=1), now=now).user_minutes.values())
        before = now - timedelta(hours=2)
        complete_until = sum(world.rollup(start, start + timedelta(days=1), now=before).user_minutes.values())

        assert complete_until <= delayed <= complete
        assert delayed >= last_delayed
        delayed_steps, last_delayed = delayed_steps + (delayed < complete), delayed

    assert delayed_steps > 200
    assert last_delayed == 6 * 1440
