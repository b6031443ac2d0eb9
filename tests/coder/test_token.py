"""The token is sent to Coder only, and appears nowhere else."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from insights_exporter import errors
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import CoderSettings
from insights_exporter.secrets import FileSecret, LiteralSecret, Secret
from tests.coder.conftest import (
    HTML,
    TOKEN,
    ConnectClient,
    FakeCoder,
    Handler,
    respond_and_disconnect,
    respond_with,
)
from tests.support.recording_telemetry import RecordingTelemetry

ME = {"id": "u1", "username": "exporter"}
ENDPOINT = "/users/me"


async def test_token_is_sent_only_in_its_header(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(ENDPOINT, respond_with(ME))
    await client.me()
    headers = coder.requests[0].headers

    assert headers["Coder-Session-Token"] == TOKEN
    assert headers["User-Agent"].startswith("insights-exporter/")
    assert [name for name, value in headers.items() if TOKEN in value] == ["Coder-Session-Token"]
    assert TOKEN not in str(coder.requests[0].url)


async def test_rotated_token_is_used_in_next_request(
    coder: FakeCoder, connect: ConnectClient, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("first-token\n")
    coder.set_handlers(ENDPOINT, respond_with(ME))
    client = await connect(token=FileSecret(path))
    await client.me()
    path.write_text("the-second-token\n")
    await client.me()

    assert [one.headers["Coder-Session-Token"] for one in coder.requests] == [
        "first-token",
        "the-second-token",
    ]


async def test_cookies_are_not_stored(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(
        ENDPOINT, respond_with(ME, headers={"Set-Cookie": "coder_session_token=other; Path=/"})
    )
    await client.me()
    await client.me()

    assert "Cookie" not in coder.requests[1].headers


@pytest.mark.parametrize(
    "handler",
    [
        respond_with({"message": "Bad.", "detail": f"Invalid API key format: {TOKEN}"}, 400),
        respond_with({"message": "Out.", "detail": f"Invalid API key format: {TOKEN}"}, 401),
        respond_with({"message": "Forbidden.", "detail": TOKEN}, 403),
        respond_with({"message": TOKEN}, 404),
        respond_with({"message": TOKEN}, 500),
        respond_with(f"{HTML}{TOKEN}", content_type="text/html"),
        respond_with("", 302, {"Location": f"https://elsewhere.example.com/?token={TOKEN}"}),
        respond_with("", headers={"Content-Length": "none"}),
        respond_with(TOKEN),
        respond_with({"id": {"token": TOKEN}, "username": TOKEN}),
        respond_with(TOKEN, headers={"Content-Encoding": "gzip"}),
        respond_and_disconnect(TOKEN.encode()),
    ],
)
async def test_token_appears_in_no_error_log_or_event(
    coder: FakeCoder,
    connect: ConnectClient,
    telemetry: RecordingTelemetry,
    caplog: pytest.LogCaptureFixture,
    handler: Handler,
) -> None:
    """Covers servers whose response repeats the token."""
    caplog.set_level(logging.DEBUG)
    coder.set_handlers(ENDPOINT, handler)
    client = await connect(retries=1)

    with pytest.raises(errors.UpstreamError) as caught:
        await client.me()

    trace = "".join(traceback.format_exception(caught.value))
    outputs = [
        str(caught.value),
        repr(caught.value),
        trace,
        repr(vars(caught.value)),
        repr(telemetry),
        caplog.text,
    ]

    assert coder.requests[0].headers["Coder-Session-Token"] == TOKEN
    assert [text for text in outputs if TOKEN in text] == []


def test_token_appears_in_no_repr() -> None:
    settings = CoderSettings(url="https://coder.example.com", token=LiteralSecret(Secret(TOKEN)))
    client = CoderClient(settings)

    assert TOKEN not in f"{settings!r}{settings}{client!r}{vars(client)}"


async def test_environment_proxy_is_used(
    coder: FakeCoder, connect: ConnectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", coder.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    coder.set_handlers(ENDPOINT, respond_with(ME))
    client = await connect(url="http://coder.invalid")

    assert (await client.me()).id == "u1"
    assert coder.requests[0].headers["Host"] == "coder.invalid"
