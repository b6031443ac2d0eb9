"""Whatever goes wrong between us and Coder becomes one named error, and a retry heals what it can."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from yarl import URL

from insights_exporter import errors
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.error_mapping import Response
from insights_exporter.coder.transport import redirect_target
from tests.coder.conftest import TOKEN, ConnectClient, FakeCoder, Handler, RecordingObserver, respond_with
from tests.support.clock import FakeClock

ME = {"id": "u1", "username": "exporter"}
ENDPOINT = "/users/me"
HTML = "\n<!DOCTYPE html><html><body>Please sign in</body></html>"

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
async def test_transient_status_is_retried(
    coder: FakeCoder, client: CoderClient, events: RecordingObserver, status: int, body: object, reason: str
) -> None:
    coder.set_handlers(ENDPOINT, respond_with(body, status), respond_with(ME))
    me = await client.me()

    assert me.username == "exporter"
    assert events.retries == [(ENDPOINT, reason)]
    assert events.requests == [(ENDPOINT, str(status)), (ENDPOINT, "200")]


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
    coder: FakeCoder, client: CoderClient, clock: FakeClock, events: RecordingObserver
) -> None:
    coder.set_handlers(
        ENDPOINT,
        respond_with({"message": "You've been rate limited"}, 429, {"Retry-After": "17"}),
        respond_with(ME),
    )
    await asyncio.gather(client.me(), client.me())

    assert clock.elapsed >= 17
    assert len(coder.requests) == 3


async def test_exhausted_rate_limit_is_awaited(
    coder: FakeCoder, client: CoderClient, clock: FakeClock, events: RecordingObserver
) -> None:
    reset = str(int(clock.now().timestamp()) + 30)
    date = clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset, "Date": date}
    coder.set_handlers(ENDPOINT, respond_with(ME, headers=spent), respond_with(ME))
    await client.me()
    await client.me()

    assert events.waits == [30]
    assert clock.elapsed == 30


@pytest.mark.parametrize("status", [200, 401, 403, 404])
async def test_html_login_page_is_detected(coder: FakeCoder, client: CoderClient, status: int) -> None:
    coder.set_handlers(ENDPOINT, respond_with(HTML, status, content_type="text/html; charset=utf-8"))

    with pytest.raises(errors.LoginPageReturned, match="proxy before Coder probably asks for a login"):
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


def respond_and_disconnect(body: bytes) -> Handler:
    """Return a handler that promises more than it sends, and then cuts the connection."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "999"})
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.abort()
        return response

    return handle


async def test_connection_lost_in_body_is_retried(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(ENDPOINT, respond_and_disconnect(b'{"id":'), respond_with(ME))

    assert (await client.me()).id == "u1"


async def test_repeated_connection_loss_is_unreachable(
    coder: FakeCoder, client: CoderClient, events: RecordingObserver
) -> None:
    coder.set_handlers(ENDPOINT, respond_and_disconnect(b'{"id":'))

    with pytest.raises(errors.Unreachable, match="broke before the answer was complete"):
        await client.me()

    assert set(events.requests) == {(ENDPOINT, "unreachable")}


async def test_refused_connection_is_unreachable(connect: ConnectClient) -> None:
    client = await connect(url=f"http://127.0.0.1:{unused_port()}", retries=0)

    with pytest.raises(errors.Unreachable, match="check the address") as caught:
        await client.me()

    assert caught.value.status is None


async def test_non_http_server_is_unreachable(connect: ConnectClient) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = await connect(url=f"http://127.0.0.1:{port}", retries=0)

        with pytest.raises(errors.Unreachable):
            await client.me()


def respond_and_stall(release: asyncio.Event, initial_bytes: bytes = b"") -> Handler:
    """Return a handler that sends the first bytes at most until it is released."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(initial_bytes)
        await release.wait()
        return response

    return handle


@pytest.mark.parametrize("timeouts", [{"total_timeout": 0.05}, {"read_timeout": 0.05}])
async def test_a_slow_body_times_out(
    coder: FakeCoder, connect: ConnectClient, timeouts: dict[str, float]
) -> None:
    release = asyncio.Event()
    coder.set_handlers(ENDPOINT, respond_and_stall(release, b'{"id":'))
    client = await connect(retries=0, **timeouts)

    with pytest.raises(errors.RequestTimeout, match="no complete answer within"):
        await client.me()

    release.set()


async def test_deadline_cancels_request(
    coder: FakeCoder, client: CoderClient, events: RecordingObserver
) -> None:
    release = asyncio.Event()
    coder.set_handlers(ENDPOINT, respond_and_stall(release))

    with pytest.raises(errors.DeadlineExceeded):
        await client.with_timeout(0.05).me()

    assert events.requests == [(ENDPOINT, "cancelled")]
    release.set()


async def test_no_request_after_deadline(coder: FakeCoder, client: CoderClient, clock: FakeClock) -> None:
    coder.set_handlers(ENDPOINT, respond_with(ME))
    view = client.with_timeout(10)
    await view.me()
    clock.advance(10)

    with pytest.raises(errors.DeadlineExceeded):
        await view.me()

    assert len(coder.requests) == 1


async def test_deadline_applies_while_waiting_for_concurrency_slot(
    coder: FakeCoder, connect: ConnectClient
) -> None:
    release, entered = asyncio.Event(), asyncio.Event()

    async def occupy(request: web.Request) -> web.StreamResponse:
        entered.set()
        return await respond_and_stall(release, b'{"id":')(request)

    coder.set_handlers(ENDPOINT, occupy)
    client = await connect(concurrency=1, retries=0)
    first = asyncio.create_task(client.me())
    await entered.wait()

    with pytest.raises(errors.DeadlineExceeded):
        await client.with_timeout(0.02).me()

    release.set()
    with pytest.raises(errors.BadResponse):
        await first
    assert len(coder.requests) == 1


REDIRECT_CASES = [
    ("http://coder:3000/a", "https://coder/b", True),
    ("http://coder:3000/a", "https://coder:3000/b", True),
    ("http://coder:3000/a", "/b?c=d", True),
    ("https://coder/a", "https://coder:443/b", True),
    ("https://coder/a", "http://coder/b", False),
    ("http://coder:3000/a", "http://coder:9999/b", False),
    ("http://coder:3000/a", "https://coder:9999/b", False),
    ("https://coder/a", "https://coder.evil/b", False),
    ("https://coder/a", "https://ada@evil/b", False),
    ("https://coder/a", "javascript:alert(1)", False),
    ("https://coder/a", "http://[", False),
]


@pytest.mark.parametrize(("start", "location", "allowed"), REDIRECT_CASES)
def test_redirect_may_only_upgrade_to_tls(start: str, location: str, *, allowed: bool) -> None:
    answer = Response(ENDPOINT, 302, {}, b"")
    if allowed:
        assert redirect_target(URL(start), location, answer) == URL(start).join(URL(location))
    else:
        with pytest.raises(errors.RedirectRefused):
            redirect_target(URL(start), location, answer)


@pytest.mark.parametrize(
    "location",
    ["https://login.example.com/start", "//login.example.com/", "http://127.0.0.1:1/api/v2/users/me", ""],
)
async def test_cross_host_redirect_is_refused(coder: FakeCoder, client: CoderClient, location: str) -> None:
    coder.set_handlers(ENDPOINT, respond_with("", 302, {"Location": location}))

    with pytest.raises(errors.RedirectRefused, match="where the token must not go"):
        await client.me()

    assert len(coder.requests) == 1


async def test_same_host_redirect_is_followed(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(ENDPOINT, respond_with("", 307, {"Location": "/api/v2/moved"}))
    coder.set_handlers("/moved", respond_with(ME))

    assert (await client.me()).id == "u1"


async def test_redirect_loop_is_refused(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(ENDPOINT, respond_with("", 302, {"Location": "/api/v2/users/me"}))

    with pytest.raises(errors.RedirectRefused, match="in a circle"):
        await client.me()

    assert len(coder.requests) == 4


async def test_gzip_response_is_decompressed(coder: FakeCoder, client: CoderClient) -> None:
    body = gzip.compress(b'{"id":"u1","username":"exporter"}')
    coder.set_handlers(ENDPOINT, respond_with(body, headers={"Content-Encoding": "gzip"}))

    assert (await client.me()).id == "u1"


async def test_gzip_bomb_is_rejected(coder: FakeCoder, connect: ConnectClient) -> None:
    bomb = gzip.compress(b" " * 20_000_000)
    coder.set_handlers(ENDPOINT, respond_with(bomb, headers={"Content-Encoding": "gzip"}))
    client = await connect(max_response_bytes=100_000)

    with pytest.raises(errors.ResponseTooLarge, match="more than 100000 bytes; raise max_response_bytes"):
        await client.me()

    assert len(coder.requests) == 1


async def test_oversized_response_is_rejected(coder: FakeCoder, connect: ConnectClient) -> None:
    coder.set_handlers(ENDPOINT, respond_with(b" " * 3_000_000))
    client = await connect(max_response_bytes=100_000)

    with pytest.raises(errors.ResponseTooLarge):
        await client.me()

    coder.set_handlers(ENDPOINT, respond_with(ME))

    assert (await client.me()).id == "u1"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", b"no gzip"), ("gzip", gzip.compress(b'{"id":"u1"}' * 99)[:-9]), ("br", b"\x0b\x02\x80{}\x03")],
    # Compressed bytes hold the time, and names of tests must be the same in every process.
    ids=["no gzip", "cut gzip", "unknown encoding"],
)
async def test_invalid_compression_is_bad_response(
    coder: FakeCoder, client: CoderClient, encoding: str, body: bytes
) -> None:
    coder.set_handlers(ENDPOINT, respond_with(body, headers={"Content-Encoding": encoding}))

    with pytest.raises(errors.BadResponse, match="compressed"):
        await client.me()
