"""Numbers of the insights routes follow from the events, as Coder's rollup makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import GeneratedWorld, Size, generate
from insights_exporter.simulator.lateness import Lateness
from insights_exporter.simulator.stage import stage
from insights_exporter.simulator.usage import TERMINAL, UserDay, minutes
from tests.support.asking import asking

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
WEEK = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}
DAY = {"start_time": "2026-11-20T00:00:00Z", "end_time": "2026-11-21T00:00:00Z"}
ON = date(2026, 11, 20)


@dataclass(slots=True)
class Told(GeneratedWorld):
    """A world in which only that happened which a test tells."""

    told: Mapping[date, Iterable[UserDay]] = field(default_factory=dict)

    def use_on(self, day: date) -> Iterable[UserDay]:
        """Return what the test tells."""
        return self.told.get(day, ())


def told(*uses: UserDay, day: date = ON, options: ApiOptions | None = None) -> SimulatedDeployment:
    made = generate(Size(4, 6))
    world = Told(made.organizations, made.templates, made.users, regions=made.regions, told={day: uses})
    return stage(Size(4, 6), now=lambda: NOW, world=world, options=options or ApiOptions())


def simulated(**options: Any) -> SimulatedDeployment:
    return stage(Size(4, 20), now=lambda: NOW, options=ApiOptions(**options))


async def report(deployment: SimulatedDeployment, query: Mapping[str, str] = DAY) -> Any:
    async with asking(deployment) as ask:
        return (await ask("/insights/templates", query)).body["report"]


def seconds(found: Any) -> dict[str, int]:
    return {one["slug"]: one["seconds"] for one in found["apps_usage"] if one["seconds"]}


async def test_five_builtin_rows_come_first_in_coders_order() -> None:
    found = await report(told())

    assert [(one["slug"], one["type"], one["seconds"]) for one in found["apps_usage"]] == [
        ("vscode", "builtin", 0),
        ("jetbrains", "builtin", 0),
        ("reconnecting-pty", "builtin", 0),
        ("ssh", "builtin", 0),
        ("sftp", "builtin", 0),
    ]
    assert (found["parameters_usage"], found["template_ids"]) == ([], [])


async def test_a_user_counts_half_an_hour_at_most_in_half_an_hour() -> None:
    """Both templates see the whole half hour, the deployment sees it once."""
    hour = {"vscode": minutes(600, 660)}
    deployment = told(UserDay(0, 0, hour), UserDay(1, 0, hour))
    world = deployment.world
    async with asking(deployment) as ask:
        whole = await ask("/insights/user-activity", DAY)
        parts = [
            (await ask("/insights/user-activity", {**DAY, "template_ids": one.id})).body["report"]["users"]
            for one in world.templates[:2]
        ]
        apps = (await ask("/insights/templates", DAY)).body["report"]

    assert [one["seconds"] for one in whole.body["report"]["users"]] == [3600]
    assert [[one["seconds"] for one in part] for part in parts] == [[3600], [3600]]
    assert seconds(apps) == {"vscode": 3600}
    assert apps["template_ids"] == sorted(one.id for one in world.templates[:2])


async def test_apps_overlap_but_a_users_time_does_not() -> None:
    use = UserDay(
        0, 0, {"vscode": minutes(600, 630), "ssh": minutes(600, 620)}, {"code-server": minutes(610, 640)}
    )
    deployment = told(use)
    async with asking(deployment) as ask:
        activity = (await ask("/insights/user-activity", DAY)).body["report"]["users"]

    assert [one["seconds"] for one in activity] == [40 * 60]
    assert seconds(await report(deployment)) == {"vscode": 1800, "ssh": 1200, "code-server": 1800}


async def test_opens_are_runs_of_half_hours() -> None:
    """Twice in one half hour is once, over an edge is once, and after a gap it is once more."""
    used = minutes(600, 605) | minutes(620, 640) | minutes(720, 725)
    found = await report(
        told(UserDay(0, 0, {}, {"code-server": used}), UserDay(0, 1, {}, {"code-server": used}))
    )

    assert [one["times_used"] for one in found["apps_usage"] if one["slug"] == "code-server"] == [4]


async def test_the_web_terminal_among_apps_makes_users_active_and_no_row() -> None:
    found = await report(told(UserDay(0, 0, {}, {TERMINAL: minutes(600, 610)})))

    assert found["active_users"] == 1
    assert seconds(found) == {}


async def test_half_hours_that_an_edge_cuts_are_left_out() -> None:
    """At an offset of a quarter of an hour, midnight takes the half hour around it from both days."""
    deployment = told(UserDay(0, 0, {"vscode": minutes(0, 1440)}))
    query = {"start_time": "2026-11-20T00:00:00+05:45", "end_time": "2026-11-21T00:00:00+05:45"}

    assert seconds(await report(deployment, query)) == {"vscode": 18 * 3600}


async def test_users_without_a_measurement_are_minus_one_in_milliseconds() -> None:
    used = {"vscode": minutes(600, 720)}
    deployment = told(
        UserDay(0, 0, used), UserDay(0, 1, used, latency={20: 10.0, 21: 20.0, 22: 40.0, 40: 999.0})
    )
    async with asking(deployment) as ask:
        found = (await ask("/insights/user-latency", DAY)).body["report"]["users"]

    assert [one["user_id"] for one in found] == sorted(one["user_id"] for one in found)
    assert [one["latency_ms"] for one in found] == [{"p50": -1, "p95": -1}, {"p50": 20, "p95": 38}]


async def test_one_slug_with_two_names_has_two_rows() -> None:
    used = {"code-server": minutes(600, 610)}
    found = await report(told(UserDay(0, 0, {}, used), UserDay(3, 1, {}, used)))
    rows = [
        (one["display_name"], one["seconds"]) for one in found["apps_usage"] if one["slug"] == "code-server"
    ]

    assert rows == [("VS Code in the browser", 600), ("code-server", 600)]


async def test_a_parameter_that_versions_declare_otherwise_comes_twice() -> None:
    found = await report(stage(Size(4, 60), now=lambda: NOW), WEEK)
    regions = [one for one in found["parameters_usage"] if one["name"] == "region"]
    order = [
        (one["name"], one["type"], one["display_name"], one["description"])
        for one in found["parameters_usage"]
    ]

    assert [one["description"] for one in regions] == ["Where the workspace runs.", "Which region to use."]
    assert "eu-west-1" in {one["value"] for one in regions[1]["values"]}
    assert order == sorted(order)
    assert any(value["value"] == "" for one in found["parameters_usage"] for value in one["values"])
    assert all("options" not in one for one in found["parameters_usage"] if one["name"] == "dotfiles")
    for one in found["parameters_usage"]:
        assert [value["value"] for value in one["values"]] == sorted(
            value["value"] for value in one["values"]
        )


async def test_the_newest_servers_tell_programs_apart() -> None:
    families = await report(simulated(), WEEK)
    programs = await report(simulated(client_apps=True), WEEK)
    rows = [one for one in programs["apps_usage"] if one["type"] == "builtin"]
    vscode = sum(one["seconds"] for one in rows if one["family"] == "vscode")

    assert {"cursor", "unknown", "overflow"} < {one["slug"] for one in rows}
    assert {one["family"] for one in programs["apps_usage"] if one["type"] == "app"} == {"workspace_app"}
    assert seconds(programs)["cursor"] > 0
    assert vscode == seconds(families)["vscode"]


@pytest.mark.parametrize(
    ("sections", "keys"),
    [
        ("", {"report", "interval_reports"}),
        ("report", {"report"}),
        ("interval_reports", {"interval_reports"}),
        ("interval_reports,report", {"report", "interval_reports"}),
    ],
)
async def test_sections_that_were_not_asked_for_are_absent(sections: str, keys: set[str]) -> None:
    query = {**WEEK, "interval": "day"} | ({"sections": sections} if sections else {})
    async with asking(simulated()) as ask:
        answer = await ask("/insights/templates", query)

    assert answer.body.keys() == keys


async def test_reports_of_intervals_are_absent_where_there_are_none() -> None:
    empty = {"start_time": WEEK["start_time"], "end_time": WEEK["start_time"]}
    async with asking(simulated()) as ask:
        without_interval = await ask("/insights/templates", WEEK)
        without_range = await ask("/insights/templates", {**empty, "interval": "day"})

    assert without_interval.body.keys() == without_range.body.keys() == {"report"}


async def test_everything_wrong_with_parameters_is_told_together() -> None:
    query = [
        ("start_time", " "),
        ("interval", "day"),
        ("interval", "week"),
        ("foo", "1"),
        ("template_ids", "7,x"),
    ]
    async with asking(simulated()) as ask:
        answer = await ask("/insights/templates", query)

    assert answer.status == 400
    assert answer.body["message"] == "Query parameters have invalid values."
    assert answer.validations.keys() == {"start_time", "end_time", "interval", "template_ids", "foo"}
    assert answer.validations["start_time"] == 'Query param "start_time" is required and cannot be empty'
    assert "provided more than once, found 2 times" in answer.validations["interval"]
    assert answer.validations["template_ids"].startswith('Query param "template_ids" has invalid values:')
    assert answer.validations["foo"] == '"foo" is not a valid query param'


async def test_a_section_that_nobody_knows_is_refused() -> None:
    async with asking(simulated()) as ask:
        answer = await ask("/insights/templates", {**WEEK, "sections": "report,horoscope"})

    assert list(answer.validations) == ["sections"]
    assert answer.validations["sections"].startswith("must be one of [interval_reports report]")


async def test_activity_takes_no_interval() -> None:
    async with asking(simulated()) as ask:
        answer = await ask("/insights/user-activity", {**WEEK, "interval": "day"})

    assert answer.validations == {"interval": '"interval" is not a valid query param'}


async def test_a_token_in_the_query_is_one_parameter_too_many() -> None:
    async with asking(simulated()) as ask:
        answer = await ask(
            "/insights/templates", {**WEEK, "coder_session_token": "insightsxp-demotokendemotokendemo"}
        )

    assert list(answer.validations) == ["coder_session_token"]


async def test_offsets_are_echoed() -> None:
    query = {
        "start_time": "2026-11-18T00:00:00+02:00",
        "end_time": "2026-11-21T00:00:00+02:00",
        "interval": "day",
    }
    async with asking(simulated()) as ask:
        answer = await ask("/insights/templates", query)

    assert answer.body["report"]["start_time"] == query["start_time"]
    assert [one["start_time"] for one in answer.body["interval_reports"]] == [
        "2026-11-18T00:00:00+02:00",
        "2026-11-19T00:00:00+02:00",
        "2026-11-20T00:00:00+02:00",
    ]


@pytest.mark.parametrize(("hour", "entries"), [(14, 61), (23, 60)])
async def test_daily_users_cover_sixty_days(hour: int, entries: int) -> None:
    deployment = simulated()
    deployment.now = lambda: NOW.replace(hour=hour)
    async with asking(deployment) as ask:
        answer = await ask("/insights/daus")
        shifted = await ask("/insights/daus", {"tz_offset": "-5"})
        wrong = await ask("/insights/daus", {"timezone": "UTC"})
        day = await ask(
            "/insights/templates", {"start_time": "2026-11-23T00:00:00Z", "end_time": "2026-11-24T00:00:00Z"}
        )
    by_date = {one["date"]: one["amount"] for one in answer.body["entries"]}

    assert len(answer.body["entries"]) == entries
    assert by_date["2026-11-23"] == day.body["report"]["active_users"]
    # The offset moves the label and not the day.
    assert [one["amount"] for one in shifted.body["entries"]] == list(by_date.values())
    assert shifted.body["tz_hour_offset"] == -5
    assert wrong.status == 400


async def test_four_routes_know_the_switch_and_the_others_go_on() -> None:
    deployment = simulated()
    deployment.world.collecting = False
    identity = deployment.world.templates[0].id
    async with asking(deployment) as ask:
        off = [
            (await ask(f"/insights/{one}")).refusal
            for one in ("templates", "user-activity", "user-latency", "daus")
        ]
        on = [
            (await ask(one)).status
            for one in ("/insights/user-status-counts", f"/templates/{identity}/daus", "/templates", "/users")
        ]

    assert off == [(404, "Not Found.", "Template insights are disabled.")] * 4
    assert on == [200] * 4


async def test_older_servers_have_no_switch() -> None:
    deployment = stage(Size(4, 20), now=lambda: NOW, options=ApiOptions(version="v2.29.0"))
    deployment.world.collecting = False
    async with asking(deployment) as ask:
        assert (await ask("/insights/templates", WEEK)).status == 200


# Freshness


async def test_the_rollup_runs_every_five_minutes() -> None:
    deployment = told(UserDay(0, 0, {"vscode": minutes(0, 1440)}), day=NOW.date())
    today = {"start_time": "2026-11-24T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}

    assert seconds(await report(deployment, today)) == {"vscode": (14 * 60 + 5) * 60}


def test_late_use_becomes_known_within_two_hours_and_never_unknown() -> None:
    world = told(*(UserDay(0, user, {"vscode": minutes(0, 1440)}) for user in range(6))).world
    world.lateness = Lateness(share=0.5)
    begin = datetime(2026, 11, 20, tzinfo=UTC)
    prompt = replace(world.lateness, share=0.0)
    behind, last = 0, 0
    for turn in range(12 * 27):
        now = begin + timedelta(minutes=5 * turn)
        world.lateness = Lateness(share=0.5)
        late = sum(world.report(begin, begin + timedelta(days=1), now=now).user_minutes.values())
        world.lateness = prompt
        whole = sum(world.report(begin, begin + timedelta(days=1), now=now).user_minutes.values())
        before = now - timedelta(hours=2)
        sure = sum(world.report(begin, begin + timedelta(days=1), now=before).user_minutes.values())

        assert sure <= late <= whole
        assert late >= last
        behind, last = behind + (late < whole), late

    assert behind > 200
    assert last == 6 * 1440
