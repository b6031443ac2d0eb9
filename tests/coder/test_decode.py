"""Answers are decoded whole; where a part is bad, everything else of them is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.coder import responses
from insights_exporter.coder.decode import decode
from insights_exporter.errors import BadResponse

ENDPOINT = "/insights/templates"


def latency(*rows: str) -> bytes:
    return f'{{"report":{{"users":[{",".join(rows)}]}}}}'.encode()


def latency_row(name: str, p50: str = "20.5", p95: str = "100.25") -> str:
    return f'{{"user_id":"{name}","username":"{name}","latency_ms":{{"p50":{p50},"p95":{p95}}}}}'


def insights(**report: Any) -> dict[str, Any]:
    return {
        "report": {
            "start_time": "2026-01-05T00:00:00+01:00",
            "end_time": "2026-01-12T00:00:00+01:00",
            "template_ids": ["t1"],
            "active_users": 3,
            "apps_usage": [
                {"template_ids": ["t1"], "type": "builtin", "slug": "ssh", "seconds": 3600, "times_used": 0},
                {"template_ids": ["t1"], "type": "app", "slug": "ide", "seconds": 60, "times_used": 2},
            ],
            "parameters_usage": [
                {
                    "name": "region",
                    "type": "string",
                    "options": [{"name": "EU", "value": "eu"}],
                    "values": [{"value": "eu", "count": 4}, {"value": "", "count": 1}],
                }
            ],
        }
        | report
    }


def decoded(answer: object) -> tuple[responses.TemplateReport, int]:
    result = decode(json.dumps(answer).encode(), responses.TemplateInsights, endpoint=ENDPOINT)
    assert result.value.report is not None
    return result.value.report, result.dropped


def test_an_answer_is_decoded_with_its_times_and_numbers() -> None:
    report, dropped = decoded(insights())

    assert dropped == 0
    assert report.start_time == datetime(2026, 1, 4, 23, tzinfo=UTC)
    assert report.active_users == 3
    assert [(app.slug, app.seconds, app.times_used) for app in report.apps_usage] == [
        ("ssh", 3600, 0),
        ("ide", 60, 2),
    ]
    assert [(one.value, one.count) for one in report.parameters_usage[0].values] == [("eu", 4), ("", 1)]


def test_what_we_do_not_know_is_ignored() -> None:
    answer = insights(brand_new={"deep": [1, None]})
    answer["later"] = 1

    assert decoded(answer) == decoded(insights())


def test_sections_that_were_not_asked_for_are_absent() -> None:
    result = decode(b"{}", responses.TemplateInsights, endpoint=ENDPOINT)

    assert result.value == responses.TemplateInsights(report=None, interval_reports=[])


def test_times_used_of_an_old_server_is_unknown_and_not_zero() -> None:
    report, _ = decoded(insights(apps_usage=[{"slug": "ide", "seconds": 60}]))

    assert report.apps_usage[0].times_used is None


def test_null_lists_are_empty_and_no_fault() -> None:
    report, dropped = decoded(insights(apps_usage=None, parameters_usage=None))

    assert (report.apps_usage, report.parameters_usage, dropped) == ([], [], 0)


@pytest.mark.parametrize(
    "bad",
    ["many", -1, 1.5, 1e30, 10**30, True, [], {}, None],
    ids=str,
)
def test_a_bad_number_loses_its_row_and_no_other(bad: object) -> None:
    rows = [{"slug": "ssh", "seconds": 60}, {"slug": "ide", "seconds": bad}, {"slug": "vscode", "seconds": 0}]
    report, dropped = decoded(insights(apps_usage=rows))

    assert [app.slug for app in report.apps_usage] == ["ssh", "vscode"]
    assert dropped == 1


def test_a_bad_number_of_users_is_unknown_and_the_apps_stay() -> None:
    report, dropped = decoded(insights(active_users=-3))

    assert (report.active_users, dropped) == (None, 1)
    assert len(report.apps_usage) == 2


def test_a_bad_text_that_is_not_needed_takes_its_default() -> None:
    report, dropped = decoded(insights(apps_usage=[{"slug": "ide", "seconds": 60, "display_name": 7}]))

    assert (report.apps_usage[0].display_name, dropped) == ("", 1)


def test_a_whole_number_written_with_a_point_is_that_number() -> None:
    body = json.dumps(insights()).replace('"seconds": 3600', '"seconds": 3600.0').encode()
    result = decode(body, responses.TemplateInsights, endpoint=ENDPOINT)

    assert result.dropped == 0
    assert result.value.report is not None
    assert result.value.report.apps_usage[0].seconds == 3600


def test_latencies_are_seconds() -> None:
    answer = decode(latency(latency_row("ada")), responses.LatencyAnswer, endpoint=ENDPOINT).value
    user = answer.report.users[0]

    assert (user.p50_seconds, user.p95_seconds) == (0.0205, 0.10025)


@pytest.mark.parametrize("sentinel", ["-1", "0", "-0.001", "0.0"])
def test_a_latency_of_zero_or_less_is_none(sentinel: str) -> None:
    body = latency(latency_row("ada", sentinel, sentinel))
    result = decode(body, responses.LatencyAnswer, endpoint=ENDPOINT)
    user = result.value.report.users[0]

    assert (user.p50_seconds, user.p95_seconds, result.dropped) == (None, None, 0)


@pytest.mark.parametrize("absurd", ["NaN", "Infinity", "-Infinity", "1e400", "1e300", "-70", '"fast"', "{}"])
def test_an_absurd_latency_is_none_and_counted(absurd: str) -> None:
    body = latency(latency_row("ada", p50=absurd), latency_row("bob"))
    result = decode(body, responses.LatencyAnswer, endpoint=ENDPOINT)
    ada, bob = result.value.report.users

    assert (ada.p50_seconds, ada.p95_seconds) == (None, 0.10025)
    assert bob.p50_seconds == 0.0205
    assert result.dropped == 1
    assert result.example.startswith("p50: ")


def test_capital_percentiles_are_read() -> None:
    body = b'[{"id":"t","name":"n","build_time_stats":{"start":{"P50":41250,"P95":null}}}]'
    template = decode(body, list[responses.Template], endpoint="/templates").value[0]
    build = template.build_time_stats["start"]

    assert (build.p50_seconds, build.p95_seconds) == (41.25, None)


def test_deployment_stats_without_samples_have_no_latency() -> None:
    body = (
        b'{"workspaces":{"running":2,"connection_latency_ms":{"P50":-1,"P95":31.5}},'
        b'"session_count":{"ssh":1}}'
    )
    stats = decode(body, responses.DeploymentStats, endpoint="/deployment/stats").value

    assert (stats.workspaces.p50_seconds, stats.workspaces.p95_seconds) == (None, 0.0315)
    assert (stats.workspaces.running, stats.workspaces.failed, stats.session_count.ssh) == (2, None, 1)


def test_the_zero_time_means_never() -> None:
    body = b'{"id":"u","username":"ada","last_seen_at":"0001-01-01T00:00:00Z"}'
    user = decode(body, responses.User, endpoint="/users/me").value

    assert user.last_seen is None


def test_nanoseconds_are_read() -> None:
    body = b'{"id":"u","username":"ada","last_seen_at":"2026-01-12T08:00:00.123456789+02:00"}'
    user = decode(body, responses.User, endpoint="/users/me").value

    assert user.last_seen == datetime(2026, 1, 12, 6, 0, 0, 123457, tzinfo=UTC)


def test_the_agents_of_all_resources_belong_to_the_workspace() -> None:
    body = b"""{"workspaces":[{"id":"w","dormant_at":null,"latest_build":{"status":"running","resources":[
        {"id":"r0"},{"id":"r1","agents":[{"id":"a1","status":"connected","latency":
        {"Relay":{"preferred":true,"latency_ms":12.5}},"apps":[{"slug":"ide","health":"healthy"}]}]},
        {"id":"r2","agents":[{"id":"a2","apps":null}]}]}}],"count":1}"""
    result = decode(body, responses.WorkspacesPage, endpoint="/workspaces")
    agents = list(result.value.workspaces[0].agents)

    assert [agent.id for agent in agents] == ["a1", "a2"]
    assert agents[0].latency["Relay"].seconds == 0.0125
    assert agents[0].apps[0].slug == "ide"
    assert result.dropped == 0


def test_the_licence_limits_users_only_where_the_feature_is_on() -> None:
    body = '{{"features":{{"user_limit":{{"entitlement":"entitled","enabled":{},"limit":100}}}}}}'
    limits = [
        decode(body.format(on).encode(), responses.Entitlements, endpoint="/entitlements").value.user_limit
        for on in ("true", "false")
    ]

    assert limits == [100, None]


def test_a_lone_surrogate_can_be_written_again() -> None:
    body = b'[{"id":"t","name":"bad\\ud800name"}]'
    template = decode(body, list[responses.Template], endpoint="/templates").value[0]

    assert template.name.encode() == b"bad?name"


@pytest.mark.parametrize(
    "body",
    [b"", b'{"report":{"users":[', latency(latency_row("ada"))[:-2], b'{"report":{"users":[{"user_id":"a'],
)
def test_an_answer_that_was_cut_short_can_heal(body: bytes) -> None:
    with pytest.raises(BadResponse, match="cut short") as caught:
        decode(body, responses.LatencyAnswer, endpoint=ENDPOINT)

    assert caught.value.heals


@pytest.mark.parametrize(
    "body",
    [b"[]", b'"text"', b"null", b"OK", b'{"status":"up"}', b'{"report":7}', b"[" * 100_000, b"1" * 5000],
    ids=lambda body: body[:12].decode(),
)
def test_a_foreign_answer_cannot_heal(body: bytes) -> None:
    with pytest.raises(BadResponse) as caught:
        decode(body, responses.LatencyAnswer, endpoint=ENDPOINT)

    assert caught.value.endpoint == ENDPOINT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.data())
def test_whatever_stands_in_one_place_the_rest_survives(data: st.DataObject) -> None:
    """Any value in any field of the second row leaves the first and the third as they were."""
    rows = [json.loads(latency_row(name)) for name in ("ada", "bob", "cyd")]
    place = data.draw(st.sampled_from(["user_id", "username", "latency_ms", "avatar_url", "other"]))
    rows[1][place] = data.draw(json_values)
    body = json.dumps({"report": {"users": rows}}).encode()
    users = decode(body, responses.LatencyAnswer, endpoint=ENDPOINT).value.report.users

    assert (users[0].username, users[0].p50_seconds) == ("ada", 0.0205)
    assert (users[-1].username, users[-1].p50_seconds) == ("cyd", 0.0205)
    assert all(user.username.encode() is not None for user in users)
    assert all(user.p95_seconds is None or 0 < user.p95_seconds <= 1e9 for user in users)


@settings(max_examples=100)
@given(st.integers(0, 400))
def test_a_cut_answer_never_passes_for_a_whole_one(length: int) -> None:
    whole = latency(latency_row("ada"), latency_row("bob"))
    cut = whole[: length % len(whole)]

    with pytest.raises(BadResponse):
        decode(cut, responses.LatencyAnswer, endpoint=ENDPOINT)
