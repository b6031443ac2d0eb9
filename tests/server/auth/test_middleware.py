"""Authentication, rate limits and configured headers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import bcrypt
import pytest
from aiohttp import ClientSession

from insights_exporter.config.settings import ServerSettings
from insights_exporter.secrets import FileSecret, LiteralSecret, Secret
from insights_exporter.server.auth import AuthState
from tests.server.auth.auth_server import (
    ROUTES,
    VALID_LOGIN,
    auth_server,
    basic_auth,
    bearer_auth,
    get_status,
    write_web_config,
)


async def test_no_authentication_by_default() -> None:
    async with auth_server() as server:
        assert [200] * len(ROUTES) == [await get_status(server.url + path) for path in ROUTES]


async def test_login_is_required_except_for_probes(tmp_path: Path) -> None:
    async with auth_server(write_web_config(tmp_path)) as server:
        with_login = [await get_status(server.url + path, headers=VALID_LOGIN) for path in ROUTES]
        without = {path for path in ROUTES if await get_status(server.url + path) == 200}

    assert [200] * len(ROUTES) == with_login
    assert {"/-/healthy", "/-/ready"} == without


async def test_public_metrics_and_public_page_are_independent(tmp_path: Path) -> None:
    async with auth_server(write_web_config(tmp_path), ServerSettings(public_metrics=True)) as server:
        metrics = await get_status(server.url + "/metrics"), await get_status(server.url + "/")
    async with auth_server(write_web_config(tmp_path), ServerSettings(public_page=True)) as server:
        page = await get_status(server.url + "/metrics"), await get_status(server.url + "/")

    assert metrics == (200, 401)
    assert page == (401, 200)


@pytest.mark.parametrize("password", ["", "a\0b", "a:b:c", "ü" * 40, "x" * 72, "y" * 5000])
async def test_passwords_of_any_content_are_verified(tmp_path: Path, password: str) -> None:
    """Bcrypt uses the first 72 bytes."""
    stored_hash = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  ada: {stored_hash}\n")
    async with auth_server(file) as server:
        right = await get_status(server.url, headers=basic_auth("ada", password))
        wrong = await get_status(server.url, headers=basic_auth("ada", "!" + password))

    assert (right, wrong) == (200, 401)


@pytest.mark.parametrize(
    "path",
    ["//metrics", "/metrics/", "/./metrics", "/-/healthy/../../metrics", "/-/healthy%2f..%2f..%2fmetrics",
     "/%6detrics", "/metrics?x=/-/healthy", "/-/ready;/../metrics", "/Metrics", "/config%00", "/#/-/healthy"],
)  # fmt: skip
async def test_path_variants_do_not_bypass_authentication(tmp_path: Path, path: str) -> None:
    async with auth_server(write_web_config(tmp_path)) as server:
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        response = await reader.read()
        writer.close()

    assert b"inside" not in response
    assert response.split()[1] == b"401"


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !", "Basic YWRh", "Basic /////w==", "Bearer x", "Digest x", "Basic " + "A" * 4000],
)
async def test_malformed_authorization_gets_a_challenge(tmp_path: Path, header: str) -> None:
    async with (
        auth_server(write_web_config(tmp_path)) as server,
        ClientSession() as session,
        session.get(server.url, headers={"Authorization": header}) as response,
    ):
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")


async def test_login_attempts_are_rate_limited_per_address(tmp_path: Path) -> None:
    async with auth_server(write_web_config(tmp_path)) as server:
        assert await get_status(server.url, headers=VALID_LOGIN) == 200

        guesses = [await get_status(server.url, headers=basic_auth("ada", str(guess))) for guess in range(12)]
        known = await get_status(server.url, headers=VALID_LOGIN)
        server.clock.advance(1.0)
        later = await get_status(server.url, headers=basic_auth("ada", "a later guess"))

    assert [*[401] * 9, *[429] * 3] == guesses
    assert (known, later) == (200, 401)


async def test_bearer_token_is_reread_at_each_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("first-token")
    async with auth_server(settings=ServerSettings(bearer_token=FileSecret(file))) as server:
        before = await get_status(server.url, headers=bearer_auth("first-token"))
        file.write_text("the-second-token")
        after = await get_status(server.url, headers=bearer_auth("first-token"))
        new = await get_status(server.url, headers=bearer_auth("the-second-token"))
        file.unlink()
        gone = [await get_status(server.url, headers=bearer_auth("the-second-token")) for _ in range(3)]

    assert (before, after, new, gone) == (200, 401, 200, [503] * 3)
    assert caplog.text.count("bearer token read failed") == 1


async def test_bearer_token_and_basic_auth_work_together(tmp_path: Path) -> None:
    settings = ServerSettings(bearer_token=LiteralSecret(Secret("token")))
    async with auth_server(write_web_config(tmp_path), settings) as server:
        assert await get_status(server.url, headers=VALID_LOGIN) == 200
        assert await get_status(server.url, headers=bearer_auth("token")) == 200
        assert await get_status(server.url, headers=bearer_auth("token ada")) == 401


async def test_request_rate_limit_exempts_probes(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("rate_limit:\n  interval: 2s\n  burst: 3\n")
    async with auth_server(file) as server:
        statuses = [await get_status(server.url) for _ in range(4)]
        probe_status = await get_status(server.url + "/-/healthy")
        server.clock.advance(2.0)
        later_statuses = [await get_status(server.url) for _ in range(2)]

    assert statuses == [200, 200, 200, 429]
    assert (probe_status, later_statuses) == (200, [200, 429])


async def test_configured_headers_are_on_every_response(tmp_path: Path) -> None:
    extra = "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n"
    async with auth_server(write_web_config(tmp_path, extra=extra)) as server, ClientSession() as session:
        for headers in (VALID_LOGIN, {}):
            async with session.get(server.url, headers=headers) as response:
                assert response.headers["X-Frame-Options"] == "sameorigin"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://exporter.example:9766", "Host": "exporter.example:9766"}, 200),
        ({}, 200),
    ],
)
async def test_cross_site_requests_are_rejected(
    tmp_path: Path, headers: dict[str, str], expected: int
) -> None:
    async with (
        auth_server(write_web_config(tmp_path)) as server,
        ClientSession() as session,
        session.post(server.url + "/-/reload", headers=VALID_LOGIN | headers) as response,
    ):
        assert response.status == expected


async def test_reload_does_not_reset_login_attempts(tmp_path: Path) -> None:
    auth_state = AuthState()
    for _ in range(2):
        async with auth_server(write_web_config(tmp_path), auth_state=auth_state) as server:
            statuses = [await get_status(server.url, headers=basic_auth("ada", "wrong")) for _ in range(10)]

    assert statuses == [429] * 10


async def test_invalid_file_keeps_the_last_good_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_web_config(tmp_path)
    async with auth_server(file) as server:
        file.write_text("basic_auth_users:\n  ada: hunter2\n")
        kept_statuses = [await get_status(server.url, headers=VALID_LOGIN) for _ in range(3)]
        reload_results = list(server.telemetry.reload_results)
        write_web_config(tmp_path, password="another one")
        recovered_status = await get_status(server.url, headers=basic_auth("ada", "another one"))

    assert kept_statuses == [200, 200, 200]
    assert reload_results == [False]
    assert (recovered_status, server.telemetry.reload_results) == (200, [False, True])
    assert "hunter2" not in caplog.text
