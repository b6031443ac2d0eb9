"""Decoding of responses, strict and lenient."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.coder import models
from insights_exporter.coder.decode import (
    DecodeResult,
    UndecodableError,
    decode_leniently,
    decode_strictly,
)
from insights_exporter.errors import BadResponse

ENDPOINT = "/insights/templates"

T = TypeVar("T")


def decode(body: bytes, expected: type[T], *, endpoint: str) -> DecodeResult[T]:
    """Decode as the request pipeline does."""
    try:
        return DecodeResult(decode_strictly(body, expected))
    except UndecodableError:
        return decode_leniently(body, expected, endpoint=endpoint)


def latency_body(*rows: str) -> bytes:
    return f'{{"report":{{"users":[{",".join(rows)}]}}}}'.encode()


def latency_row(name: str, p50: str = "20.5", p95: str = "100.25") -> str:
    return f'{{"user_id":"{name}","username":"{name}","latency_ms":{{"p50":{p50},"p95":{p95}}}}}'


def insights_body(**report: Any) -> dict[str, Any]:
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


def decode_report(body: object) -> tuple[models.TemplateReport, int]:
    result = decode(json.dumps(body).encode(), models.TemplateInsights, endpoint=ENDPOINT)
    assert result.value.report is not None
    return result.value.report, result.dropped


def test_response_is_decoded() -> None:
    report, dropped = decode_report(insights_body())

    assert dropped == 0
    assert report.start_time == datetime(2026, 1, 4, 23, tzinfo=UTC)
    assert report.active_users == 3
    assert [(app.slug, app.seconds, app.times_used) for app in report.apps_usage] == [
        ("ssh", 3600, 0),
        ("ide", 60, 2),
    ]
    assert [(one.value, one.count) for one in report.parameters_usage[0].values] == [("eu", 4), ("", 1)]


def test_unknown_fields_are_ignored() -> None:
    answer = insights_body(brand_new={"deep": [1, None]})
    answer["later"] = 1

    assert decode_report(answer) == decode_report(insights_body())


def test_omitted_sections_are_none() -> None:
    result = decode(b"{}", models.TemplateInsights, endpoint=ENDPOINT)

    assert result.value == models.TemplateInsights(report=None, interval_reports=[])


def test_missing_times_used_is_none() -> None:
    report, _ = decode_report(insights_body(apps_usage=[{"slug": "ide", "seconds": 60}]))

    assert report.apps_usage[0].times_used is None


def test_null_list_is_empty() -> None:
    report, dropped = decode_report(insights_body(apps_usage=None, parameters_usage=None))

    assert (report.apps_usage, report.parameters_usage, dropped) == ([], [], 0)


@pytest.mark.parametrize(
    "bad",
    ["many", -1, 1.5, 1e30, 10**30, True, [], {}, None],
    ids=str,
)
def test_invalid_number_drops_only_its_row(bad: object) -> None:
    rows = [{"slug": "ssh", "seconds": 60}, {"slug": "ide", "seconds": bad}, {"slug": "vscode", "seconds": 0}]
    report, dropped = decode_report(insights_body(apps_usage=rows))

    assert [app.slug for app in report.apps_usage] == ["ssh", "vscode"]
    assert dropped == 1


def test_invalid_active_users_is_none() -> None:
    report, dropped = decode_report(insights_body(active_users=-3))

    assert (report.active_users, dropped) == (None, 1)
    assert len(report.apps_usage) == 2


def test_invalid_optional_text_takes_default() -> None:
    report, dropped = decode_report(
        insights_body(apps_usage=[{"slug": "ide", "seconds": 60, "display_name": 7}])
    )

    assert (report.apps_usage[0].display_name, dropped) == ("", 1)


def test_integral_float_is_accepted_as_integer() -> None:
    body = json.dumps(insights_body()).replace('"seconds": 3600', '"seconds": 3600.0').encode()
    result = decode(body, models.TemplateInsights, endpoint=ENDPOINT)

    assert result.dropped == 0
    assert result.value.report is not None
    assert result.value.report.apps_usage[0].seconds == 3600


def test_latency_is_converted_to_seconds() -> None:
    answer = decode(latency_body(latency_row("ada")), models.UserLatencyResponse, endpoint=ENDPOINT).value
    user = answer.report.users[0]

    assert (user.p50_seconds, user.p95_seconds) == (0.0205, 0.10025)


@pytest.mark.parametrize("sentinel", ["-1", "0", "-0.001", "0.0"])
def test_nonpositive_latency_is_none(sentinel: str) -> None:
    body = latency_body(latency_row("ada", sentinel, sentinel))
    result = decode(body, models.UserLatencyResponse, endpoint=ENDPOINT)
    user = result.value.report.users[0]

    assert (user.p50_seconds, user.p95_seconds, result.dropped) == (None, None, 0)


@pytest.mark.parametrize("absurd", ["NaN", "Infinity", "-Infinity", "1e400", "1e300", "-70", '"fast"', "{}"])
def test_invalid_latency_is_none_and_counted(absurd: str) -> None:
    body = latency_body(latency_row("ada", p50=absurd), latency_row("bob"))
    result = decode(body, models.UserLatencyResponse, endpoint=ENDPOINT)
    ada, bob = result.value.report.users

    assert (ada.p50_seconds, ada.p95_seconds) == (None, 0.10025)
    assert bob.p50_seconds == 0.0205
    assert result.dropped == 1
    assert result.example.startswith("p50: ")


def test_uppercase_percentile_keys_are_decoded() -> None:
    body = b'[{"id":"t","name":"n","build_time_stats":{"start":{"P50":41250,"P95":null}}}]'
    template = decode(body, list[models.Template], endpoint="/templates").value[0]
    build = template.build_time_stats["start"]

    assert (build.p50_seconds, build.p95_seconds) == (41.25, None)


def test_negative_deployment_latency_is_none() -> None:
    body = (
        b'{"workspaces":{"running":2,"connection_latency_ms":{"P50":-1,"P95":31.5}},'
        b'"session_count":{"ssh":1}}'
    )
    stats = decode(body, models.DeploymentStats, endpoint="/deployment/stats").value

    assert (stats.workspaces.p50_seconds, stats.workspaces.p95_seconds) == (None, 0.0315)
    assert (stats.workspaces.running, stats.workspaces.failed, stats.session_count.ssh) == (2, None, 1)


def test_zero_time_is_none() -> None:
    body = b'{"id":"u","username":"ada","last_seen_at":"0001-01-01T00:00:00Z"}'
    user = decode(body, models.User, endpoint="/users/me").value

    assert user.last_seen is None


def test_nanosecond_timestamps_are_decoded() -> None:
    body = b'{"id":"u","username":"ada","last_seen_at":"2026-01-12T08:00:00.123456789+02:00"}'
    user = decode(body, models.User, endpoint="/users/me").value

    assert user.last_seen == datetime(2026, 1, 12, 6, 0, 0, 123457, tzinfo=UTC)


def test_workspace_agents_span_all_resources() -> None:
    body = b"""{"workspaces":[{"id":"w","dormant_at":null,"latest_build":{"status":"running","resources":[
        {"id":"r0"},{"id":"r1","agents":[{"id":"a1","status":"connected","latency":
        {"Relay":{"preferred":true,"latency_ms":12.5}},"apps":[{"slug":"ide","health":"healthy"}]}]},
        {"id":"r2","agents":[{"id":"a2","apps":null}]}]}}],"count":1}"""
    result = decode(body, models.WorkspacesPage, endpoint="/workspaces")
    agents = list(result.value.workspaces[0].agents)

    assert [agent.id for agent in agents] == ["a1", "a2"]
    assert agents[0].latency["Relay"].seconds == 0.0125
    assert agents[0].apps[0].slug == "ide"
    assert result.dropped == 0


def test_unlimited_feature_has_no_limit() -> None:
    body = b'{"features":{"user_limit":{"enabled":true,"limit":100},"audit_log":{"enabled":true,"actual":1}}}'
    features = decode(body, models.Entitlements, endpoint="/entitlements").value.features

    assert {name: (one.limit, one.actual) for name, one in features.items()} == {
        "user_limit": (100, None),
        "audit_log": (None, 1),
    }


def test_lone_surrogate_is_replaced() -> None:
    body = b'[{"id":"t","name":"bad\\ud800name"}]'
    template = decode(body, list[models.Template], endpoint="/templates").value[0]

    assert template.name.encode() == b"bad?name"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"report":{"users":[',
        latency_body(latency_row("ada"))[:-2],
        b'{"report":{"users":[{"user_id":"a',
    ],
)
def test_truncated_response_is_retryable(body: bytes) -> None:
    with pytest.raises(BadResponse, match="truncated") as caught:
        decode(body, models.UserLatencyResponse, endpoint=ENDPOINT)

    assert caught.value.retryable


@pytest.mark.parametrize(
    "body",
    [b"[]", b'"text"', b"null", b"OK", b'{"status":"up"}', b'{"report":7}', b"[" * 100_000, b"1" * 5000],
    ids=lambda body: body[:12].decode(),
)
def test_unexpected_json_is_not_retryable(body: bytes) -> None:
    with pytest.raises(BadResponse) as caught:
        decode(body, models.UserLatencyResponse, endpoint=ENDPOINT)

    assert caught.value.endpoint == ENDPOINT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.data())
def test_invalid_field_affects_only_its_row(data: st.DataObject) -> None:
    """Any value in any field of the second row leaves the first and the third as they were."""
    rows = [json.loads(latency_row(name)) for name in ("ada", "bob", "cyd")]
    field_name = data.draw(st.sampled_from(["user_id", "username", "latency_ms", "avatar_url", "other"]))
    rows[1][field_name] = data.draw(json_values)
    body = json.dumps({"report": {"users": rows}}).encode()
    users = decode(body, models.UserLatencyResponse, endpoint=ENDPOINT).value.report.users

    assert (users[0].username, users[0].p50_seconds) == ("ada", 0.0205)
    assert (users[-1].username, users[-1].p50_seconds) == ("cyd", 0.0205)
    assert all(user.username.encode() is not None for user in users)
    assert all(user.p95_seconds is None or 0 < user.p95_seconds <= 1e9 for user in users)


@settings(max_examples=100)
@given(st.integers(0, 400))
def test_truncated_response_is_always_rejected(length: int) -> None:
    complete = latency_body(latency_row("ada"), latency_row("bob"))
    truncated = complete[: length % len(complete)]

    with pytest.raises(BadResponse):
        decode(truncated, models.UserLatencyResponse, endpoint=ENDPOINT)


@pytest.mark.parametrize("timestamp", ["9999-12-31T23:59:59-01:00", "2200-01-01T00:00:00Z"])
def test_implausible_date_drops_only_its_field(timestamp: str) -> None:
    """Conversion of such a date to UTC overflows, which would fail the whole inventory."""
    rows = [{"id": "t1", "name": "go", "created_at": timestamp}, {"id": "t2", "name": "rust"}]
    result = decode(json.dumps(rows).encode(), list[models.Template], endpoint="/templates")

    assert [(row.name, row.created_at) for row in result.value] == [("go", None), ("rust", None)]
    assert result.dropped == 1
    assert result.example.startswith("created_at: expected a date before 2200")


def test_implausible_date_drops_row_that_requires_it() -> None:
    times = ("9999-12-31T00:00:00Z", "2026-01-14T00:00:00Z")
    rows = [{"start_time": time, "end_time": time, "active_users": 2} for time in times]
    body = json.dumps({"interval_reports": rows}).encode()
    result = decode(body, models.TemplateInsights, endpoint=ENDPOINT)

    assert [row.start_time.year for row in result.value.interval_reports] == [2026]
    assert result.dropped == 1


def test_zero_time_is_valid() -> None:
    body = b'[{"id":"u1","username":"ada","last_seen_at":"0001-01-01T00:00:00Z"}]'
    result = decode(body, list[models.User], endpoint="/users")

    assert (result.value[0].last_seen, result.dropped) == (None, 0)
