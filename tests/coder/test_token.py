"""The token goes to Coder and nowhere else."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from insights_exporter import errors
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secret import FileSecret, LiteralSecret, Secret
from tests.coder.conftest import TOKEN, Coder, Connect, Events, Handler, answering
from tests.coder.test_faults import HTML, breaking

ME = {"id": "u1", "username": "exporter"}
ENDPOINT = "/users/me"


async def test_the_token_travels_in_its_header_alone(coder: Coder, client: CoderClient) -> None:
    coder.on(ENDPOINT, answering(ME))
    await client.me()
    headers = coder.requests[0].headers

    assert headers["Coder-Session-Token"] == TOKEN
    assert headers["User-Agent"].startswith("insights-exporter/")
    assert [name for name, value in headers.items() if TOKEN in value] == ["Coder-Session-Token"]
    assert TOKEN not in str(coder.requests[0].url)


async def test_a_rotated_token_is_used_at_the_next_request(
    coder: Coder, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("first-token\n")
    coder.on(ENDPOINT, answering(ME))
    client = await connect(token=FileSecret(path))
    await client.me()
    path.write_text("the-second-token\n")
    await client.me()

    assert [one.headers["Coder-Session-Token"] for one in coder.requests] == [
        "first-token",
        "the-second-token",
    ]


async def test_cookies_are_not_kept(coder: Coder, client: CoderClient) -> None:
    coder.on(ENDPOINT, answering(ME, headers={"Set-Cookie": "coder_session_token=other; Path=/"}))
    await client.me()
    await client.me()

    assert "Cookie" not in coder.requests[1].headers


@pytest.mark.parametrize(
    "handler",
    [
        answering({"message": "Bad.", "detail": f"Invalid API key format: {TOKEN}"}, 400),
        answering({"message": "Out.", "detail": f"Invalid API key format: {TOKEN}"}, 401),
        answering({"message": "Forbidden.", "detail": TOKEN}, 403),
        answering({"message": TOKEN}, 404),
        answering({"message": TOKEN}, 500),
        answering(f"{HTML}{TOKEN}", content_type="text/html"),
        answering("", 302, {"Location": f"https://elsewhere.example.com/?token={TOKEN}"}),
        answering("", headers={"Content-Length": "none"}),
        answering(TOKEN),
        answering({"id": {"token": TOKEN}, "username": TOKEN}),
        answering(TOKEN, headers={"Content-Encoding": "gzip"}),
        breaking(TOKEN.encode()),
    ],
)
async def test_the_token_shows_in_no_error_log_or_event(
    coder: Coder,
    connect: Connect,
    events: Events,
    caplog: pytest.LogCaptureFixture,
    handler: Handler,
) -> None:
    """Even a server that repeats the token gets it into no message, trace, log line or event."""
    caplog.set_level(logging.DEBUG)
    coder.on(ENDPOINT, handler)
    client = await connect(retries=1)

    with pytest.raises(errors.UpstreamError) as caught:
        await client.me()

    trace = "".join(traceback.format_exception(caught.value))
    shown = [
        str(caught.value),
        repr(caught.value),
        trace,
        repr(vars(caught.value)),
        repr(events),
        caplog.text,
    ]

    assert coder.requests[0].headers["Coder-Session-Token"] == TOKEN
    assert [text for text in shown if TOKEN in text] == []


def test_the_token_shows_in_no_representation() -> None:
    settings = CoderSettings(url="https://coder.example.com", token=LiteralSecret(Secret(TOKEN)))
    client = CoderClient(settings)

    assert TOKEN not in f"{settings!r}{settings}{client!r}{vars(client)}"


async def test_a_proxy_of_the_environment_is_used(
    coder: Coder, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", coder.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    coder.on(ENDPOINT, answering(ME))
    client = await connect(url="http://coder.invalid")

    assert (await client.me()).id == "u1"
    assert coder.requests[0].headers["Host"] == "coder.invalid"
