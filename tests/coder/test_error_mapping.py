"""Mapping of responses and failed connections to errors, and which of them are retried."""

from __future__ import annotations

import asyncio

import pytest

from insights_exporter import errors
from insights_exporter.coder.client import CoderClient
from tests.coder.conftest import (
    HTML,
    TOKEN,
    ConnectClient,
    FakeCoder,
    respond_with,
)
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

ME = {"id": "u1", "username": "exporter"}
ENDPOINT = "/users/me"

SIGNED_OUT = "You are signed out or your session has expired. Please sign in again to continue."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"message": SIGNED_OUT, "detail": "API key is invalid."}, errors.InvalidToken),
        (401, {"message": SIGNED_OUT, "detail": "API key secret is invalid."}, errors.InvalidToken),
        (401, {"message": SIGNED_OUT, "detail": f"Invalid API key format: {TOKEN}"}, errors.InvalidToken),
        (401, {"message": SIGNED_OUT, "detail": 'API key expired at "2026-01-01".'}, errors.ExpiredToken),
        (401, {"message": 'User is not active (status = "suspended"). Ask.'}, errors.UserSuspended),
        (401, {"message": SIGNED_OUT}, errors.AuthError),
        (401, "", errors.AuthError),
        (403, {"message": "Forbidden.", "detail": "You lack a permission."}, errors.Forbidden),
        (404, {"message": "Route not found."}, errors.UnsupportedEndpoint),
        (
            404,
            {"message": "Not Found.", "detail": "Template insights are disabled."},
            errors.InsightsDisabled,
        ),
        (
            404,
            {"message": "Resource not found or you do not have access to this resource"},
            errors.NotFoundOrForbidden,
        ),
        (404, "404 page not found", errors.BadResponse),
        (400, {"message": "Query parameters have invalid values."}, errors.BadRequest),
        (400, {"message": "Deployment stats are still processing!"}, errors.NotReady),
        (409, {"message": "Taken."}, errors.BadRequest),
        (425, {"message": "Template version job has not finished."}, errors.NotReady),
        (503, {"message": "Healthcheck is in progress."}, errors.NotReady),
    ],
    ids=lambda value: value if isinstance(value, int) else None,
)
async def test_permanent_status_maps_to_error_without_retry(
    coder: FakeCoder, client: CoderClient, status: int, body: object, expected: type[errors.UpstreamError]
) -> None:
    coder.set_handlers(ENDPOINT, respond_with(body, status))

    with pytest.raises(errors.UpstreamError) as caught:
        await client.me()

    assert type(caught.value) is expected
    assert (caught.value.endpoint, caught.value.status) == (ENDPOINT, status)
    assert len(coder.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, {"message": "Internal error fetching user.", "detail": "pq: sorry"}, "server_error"),
        (502, HTML, "server_error"),
        (503, "upstream connect error", "server_error"),
        (504, "", "server_error"),
        (408, "", "timeout"),
        (429, {"message": "You've been rate limited"}, "rate_limited"),
    ],
)
async def test_transient_status_is_retried(  # noqa: PLR0917  # Fixtures and columns.
    coder: FakeCoder,
    client: CoderClient,
    telemetry: RecordingTelemetry,
    status: int,
    body: object,
    reason: str,
) -> None:
    coder.set_handlers(ENDPOINT, respond_with(body, status), respond_with(ME))
    me = await client.me()

    assert me.username == "exporter"
    assert telemetry.retries == [(ENDPOINT, reason)]
    assert telemetry.requests == [(ENDPOINT, str(status)), (ENDPOINT, "200")]


async def test_server_text_is_truncated_and_sanitized(coder: FakeCoder, client: CoderClient) -> None:
    words = "line\nbreak \x1b[31m" + "x" * 1000
    coder.set_handlers(
        ENDPOINT,
        respond_with({"message": "Bad.", "validations": [{"field": "start_time", "detail": words}]}, 400),
    )

    with pytest.raises(errors.BadRequest, match=r"Bad\. start_time: line break \[31mxxx") as caught:
        await client.me()

    assert len(str(caught.value)) < 400


async def test_retries_are_limited(coder: FakeCoder, connect: ConnectClient) -> None:
    coder.set_handlers(ENDPOINT, respond_with({"message": "Internal error."}, 500))
    client = await connect(retries=2)

    with pytest.raises(errors.ServerError):
        await client.me()

    assert len(coder.requests) == 3


async def test_retry_after_applies_to_whole_path(
    coder: FakeCoder, client: CoderClient, clock: FakeClock
) -> None:
    coder.set_handlers(
        ENDPOINT,
        respond_with({"message": "You've been rate limited"}, 429, {"Retry-After": "17"}),
        respond_with(ME),
    )
    coder.set_handlers("/users", respond_with({"users": [], "count": 0}))
    await client.users()
    elapsed_before_retry = clock.elapsed
    await asyncio.gather(client.me(), client.me())

    assert elapsed_before_retry == 0
    assert clock.elapsed >= 17
    assert coder.requested_paths().count(ENDPOINT) == 3


async def test_exhausted_rate_limit_is_awaited(
    coder: FakeCoder, client: CoderClient, clock: FakeClock, telemetry: RecordingTelemetry
) -> None:
    reset = str(int(clock.now().timestamp()) + 30)
    date = clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset, "Date": date}
    coder.set_handlers(ENDPOINT, respond_with(ME, headers=spent), respond_with(ME))
    await client.me()
    await client.me()

    assert telemetry.rate_limit_waits == [30]
    assert clock.elapsed == 30


@pytest.mark.parametrize("status", [200, 401, 403, 404])
async def test_html_login_page_is_detected(coder: FakeCoder, client: CoderClient, status: int) -> None:
    coder.set_handlers(ENDPOINT, respond_with(HTML, status, content_type="text/html; charset=utf-8"))

    with pytest.raises(errors.LoginPageReturned, match="proxy before Coder probably requires a login"):
        await client.me()


async def test_html_login_page_is_detected_without_content_type(
    coder: FakeCoder, client: CoderClient
) -> None:
    coder.set_handlers(ENDPOINT, respond_with(HTML, content_type="application/json"))

    with pytest.raises(errors.LoginPageReturned):
        await client.me()


@pytest.mark.parametrize("body", ['{"id":"u1","usern', '{"id":"u1","username":"exporter"'])
async def test_truncated_json_is_retried(coder: FakeCoder, client: CoderClient, body: str) -> None:
    coder.set_handlers(ENDPOINT, respond_with(body), respond_with(ME))

    assert (await client.me()).id == "u1"


@pytest.mark.parametrize("body", ['{"status":"UP"}', "[]", "hello", '{"id":"","username":"x"}'])
async def test_unexpected_json_is_not_retried(coder: FakeCoder, client: CoderClient, body: str) -> None:
    coder.set_handlers(ENDPOINT, respond_with(body))

    with pytest.raises(errors.BadResponse):
        await client.me()

    assert len(coder.requests) == 1
