"""Connections, timeouts, deadlines, redirects, compression and headers of single requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from yarl import URL

from insights_exporter import errors
from insights_exporter.clock import Deadline
from insights_exporter.coder import models
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.decode import decode_leniently
from insights_exporter.coder.error_mapping import Response
from insights_exporter.coder.transport import redirect_target
from tests.coder.conftest import (
    ConnectClient,
    FakeCoder,
    Handler,
    respond_and_disconnect,
    respond_with,
)
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

ME = {"id": "u1", "username": "exporter"}
ENDPOINT = "/users/me"


async def test_connection_lost_in_body_is_retried(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(ENDPOINT, respond_and_disconnect(b'{"id":'), respond_with(ME))

    assert (await client.me()).id == "u1"


async def test_repeated_connection_loss_is_unreachable(
    coder: FakeCoder, client: CoderClient, telemetry: RecordingTelemetry
) -> None:
    coder.set_handlers(ENDPOINT, respond_and_disconnect(b'{"id":'))

    with pytest.raises(errors.Unreachable, match="broke before the response was complete"):
        await client.me()

    assert set(telemetry.requests) == {(ENDPOINT, "unreachable")}


async def test_refused_connection_is_unreachable(connect: ConnectClient) -> None:
    client = await connect(url=f"http://127.0.0.1:{unused_port()}", retries=0)

    with pytest.raises(errors.Unreachable, match=r"check coder\.url") as caught:
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
    """Return a handler that sends the first bytes, and ends the response when released."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(initial_bytes)
        await release.wait()
        return response

    return handle


@pytest.mark.parametrize("timeouts", [{"total_timeout": 0.05}, {"read_timeout": 0.05}])
async def test_slow_body_times_out(
    coder: FakeCoder, connect: ConnectClient, timeouts: dict[str, float]
) -> None:
    release = asyncio.Event()
    coder.set_handlers(ENDPOINT, respond_and_stall(release, b'{"id":'))
    client = await connect(retries=0, **timeouts)

    with pytest.raises(errors.RequestTimeout, match="no complete response within"):
        await client.me()

    release.set()


async def test_deadline_cancels_request(
    coder: FakeCoder, client: CoderClient, telemetry: RecordingTelemetry
) -> None:
    release = asyncio.Event()
    coder.set_handlers(ENDPOINT, respond_and_stall(release))

    with pytest.raises(errors.DeadlineExceeded):
        await client.with_timeout(0.05).me()

    assert telemetry.requests == [(ENDPOINT, "cancelled")]
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

    with pytest.raises(errors.RedirectRefused, match="to which the token must not be sent"):
        await client.me()

    assert len(coder.requests) == 1


async def test_same_host_redirect_is_followed(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(ENDPOINT, respond_with("", 307, {"Location": "/api/v2/moved"}))
    coder.set_handlers("/moved", respond_with(ME))

    assert (await client.me()).id == "u1"


async def test_redirect_loop_is_refused(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(ENDPOINT, respond_with("", 302, {"Location": "/api/v2/users/me"}))

    with pytest.raises(errors.RedirectRefused, match="in a loop"):
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

    with pytest.raises(
        errors.ResponseTooLarge, match=r"larger than 100000 bytes; raise coder\.max_response_bytes"
    ):
        await client.me()

    assert len(coder.requests) == 1


@pytest.mark.parametrize("row", [b"{}", b'{"id":"u","username":"u"}', b"[]", b"1"])
async def test_compressed_response_with_millions_of_rows_is_rejected_quickly(
    coder: FakeCoder, connect: ConnectClient, row: bytes
) -> None:
    """A few kilobytes of gzip hold millions of rows, which the byte limit allows."""
    body = b'{"count":1,"users":[' + b",".join([row] * 1_000_000) + b"]}"
    coder.set_handlers("/users", respond_with(gzip.compress(body, 1), headers={"Content-Encoding": "gzip"}))
    client = await connect(retries=0)
    started_at = time.process_time()

    with pytest.raises((errors.ResponseTooLarge, errors.BadResponse), match=r"more than (300000|10000) "):
        await client.users()

    assert time.process_time() - started_at < 2


async def test_lenient_decoding_stops_at_the_deadline() -> None:
    clock = FakeClock()
    rows = [{"id": "u", "username": None}] * 2000
    deadline = Deadline.after(clock, 10)
    clock.advance(10)

    with pytest.raises(errors.DeadlineExceeded):
        decode_leniently(json.dumps(rows).encode(), list[models.User], endpoint=ENDPOINT, deadline=deadline)


async def test_decompression_yields_to_other_tasks(coder: FakeCoder, connect: ConnectClient) -> None:
    body = b'{"id":"u1","username":"exporter"}' + b" " * 30_000_000
    coder.set_handlers(ENDPOINT, respond_with(gzip.compress(body), headers={"Content-Encoding": "gzip"}))
    client = await connect()
    steps = 0

    async def count_steps() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count_steps())
    await client.me()
    counter.cancel()

    assert steps >= 28


@pytest.mark.parametrize(
    "header",
    [
        {"Date": "Fri, 31 Dec 9999 23:59:59 -2359"},
        {"Date": "Wed, 15 Jan 2020 10:20:00 GMT"},
        {"Date": "yesterday"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "nan"},
    ],
    ids=lambda header: next(reversed(header)) + next(reversed(header.values())),
)
async def test_invalid_header_is_ignored_and_counted(
    coder: FakeCoder, client: CoderClient, telemetry: RecordingTelemetry, header: dict[str, str]
) -> None:
    coder.set_handlers(ENDPOINT, respond_with(ME, headers=header))
    await client.me()
    await client.me()

    assert client.clock_skew in {None, 0.0}
    assert telemetry.rate_limit_waits == []
    assert telemetry.dropped_rows == [(ENDPOINT, 1, f"invalid header {next(reversed(header))}")] * 2


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
    # Gzip contains a timestamp, and pytest-xdist needs the same test ids in every process.
    ids=["no gzip", "cut gzip", "unknown encoding"],
)
async def test_invalid_compression_is_bad_response(
    coder: FakeCoder, client: CoderClient, encoding: str, body: bytes
) -> None:
    coder.set_handlers(ENDPOINT, respond_with(body, headers={"Content-Encoding": encoding}))

    with pytest.raises(errors.BadResponse, match="compress"):
        await client.me()
