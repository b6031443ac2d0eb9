"""Who gets in, and what the others are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import bcrypt
import pytest
from aiohttp import ClientSession, encode_basic_auth

from insights_exporter.secret import FileSecret, LiteralSecret, Secret
from insights_exporter.settings import ServerSettings
from insights_exporter.web import Visitors
from tests.web.door import PATHS, door, hashed

PASSWORD = "correct horse"


def users(folder: Path, *, password: str = PASSWORD, cost: int = 4, more: str = "") -> Path:
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users:\n  ada: {hashed(password, cost)}\n{more}")
    return file


def login(name: str, password: str) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(name, password)}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ADA = login("ada", PASSWORD)


async def status(address: str, *, headers: dict[str, str] | None = None) -> int:
    async with ClientSession() as session, session.get(address, headers=headers) as response:
        return response.status


async def test_everybody_gets_in_where_nothing_is_configured() -> None:
    async with door() as one:
        assert [200] * len(PATHS) == [await status(one.address + path) for path in PATHS]


async def test_a_login_opens_all_paths_and_none_only_the_probes(tmp_path: Path) -> None:
    async with door(users(tmp_path)) as one:
        with_login = [await status(one.address + path, headers=ADA) for path in PATHS]
        without = {path for path in PATHS if await status(one.address + path) == 200}

    assert [200] * len(PATHS) == with_login
    assert {"/-/healthy", "/-/ready"} == without


async def test_metrics_and_page_open_separately(tmp_path: Path) -> None:
    async with door(users(tmp_path), ServerSettings(open_metrics=True)) as one:
        metrics = await status(one.address + "/metrics"), await status(one.address + "/")
    async with door(users(tmp_path), ServerSettings(open_page=True)) as one:
        page = await status(one.address + "/metrics"), await status(one.address + "/")

    assert metrics == (200, 401)
    assert page == (401, 200)


@pytest.mark.parametrize("password", ["", "a\0b", "a:b:c", "ü" * 40, "x" * 72, "y" * 5000])
async def test_any_password_can_be_right_or_wrong(tmp_path: Path, password: str) -> None:
    """Beyond 72 bytes none counts, as anywhere with bcrypt."""
    known = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  ada: {known}\n")
    async with door(file) as one:
        right = await status(one.address, headers=login("ada", password))
        wrong = await status(one.address, headers=login("ada", "!" + password))

    assert (right, wrong) == (200, 401)


@pytest.mark.parametrize(
    "path",
    ["//metrics", "/metrics/", "/./metrics", "/-/healthy/../../metrics", "/-/healthy%2f..%2f..%2fmetrics",
     "/%6detrics", "/metrics?x=/-/healthy", "/-/ready;/../metrics", "/Metrics", "/config%00", "/#/-/healthy"],
)  # fmt: skip
async def test_no_spelling_of_a_path_leads_around_the_login(tmp_path: Path, path: str) -> None:
    async with door(users(tmp_path)) as one:
        host, _, port = one.address.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()

    assert b"inside" not in answer
    assert answer.split()[1] in {b"401", b"404", b"400"}


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !", "Basic YWRh", "Basic /////w==", "Bearer x", "Digest x", "Basic " + "A" * 4000],
)
async def test_nonsense_is_refused_with_an_invitation(tmp_path: Path, header: str) -> None:
    async with (
        door(users(tmp_path)) as one,
        ClientSession() as session,
        session.get(one.address, headers={"Authorization": header}) as response,
    ):
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")


def checked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that grows by each hash that a password is compared with."""
    hashes, check = list[bytes](), bcrypt.checkpw

    def noting(password: bytes, known: bytes) -> bool:
        hashes.append(known)
        return check(password, known)

    monkeypatch.setattr(bcrypt, "checkpw", noting)
    return hashes


async def test_a_wrong_password_costs_as_much_as_an_unknown_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost is that of one hash of the same number of rounds."""
    hashes = checked(monkeypatch)
    async with door(users(tmp_path, cost=6)) as one:
        wrong = await status(one.address, headers=login("ada", "wrong"))
        known = [hashed[:7] for hashed in hashes]
        hashes.clear()
        unknown = await status(one.address, headers=login("nobody", PASSWORD))

    assert wrong == unknown == 401
    assert known == [hashed[:7] for hashed in hashes] == [b"$2b$06$"]


async def test_an_unknown_user_is_as_slow_as_some_known_one_and_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = checked(monkeypatch)
    file = tmp_path / "web.yml"
    file.write_text("".join(["basic_auth_users:\n", *(f"  u{n}: {hashed('p', 4 + n)}\n" for n in range(4))]))
    async with door(file) as one:
        for name in [f"nobody-{n}" for n in range(40)] * 2:
            one.clock.advance(1)
            await status(one.address, headers=login(name, "p"))

    assert hashes[:40] == hashes[40:]
    assert {hashed[:7] for hashed in hashes} == {b"$2b$04$", b"$2b$05$", b"$2b$06$", b"$2b$07$"}


async def test_a_right_login_is_remembered_until_its_hash_changes(tmp_path: Path) -> None:
    file = users(tmp_path, cost=10)
    async with door(file) as one:
        first = [await status(one.address, headers=ADA) for _ in range(50)]
        users(tmp_path, password="another one")
        after = await status(one.address, headers=ADA)

    # Fifty logins are more than an address may try: all but the first were remembered.
    assert first == [200] * 50
    assert after == 401


async def test_guessing_is_slowed_down_and_does_not_keep_out_who_is_known(tmp_path: Path) -> None:
    async with door(users(tmp_path)) as one:
        assert await status(one.address, headers=ADA) == 200

        guesses = [await status(one.address, headers=login("ada", str(guess))) for guess in range(12)]
        known = await status(one.address, headers=ADA)
        one.clock.advance(1.0)
        later = await status(one.address, headers=login("ada", "a later guess"))

    assert [*[401] * 9, *[429] * 3] == guesses
    assert (known, later) == (200, 401)


async def test_a_bearer_token_gets_in_and_is_read_at_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("first-token")
    async with door(settings=ServerSettings(bearer_token=FileSecret(file))) as one:
        before = await status(one.address, headers=bearer("first-token"))
        file.write_text("the-second-token")
        after = await status(one.address, headers=bearer("first-token"))
        new = await status(one.address, headers=bearer("the-second-token"))
        file.unlink()
        gone = [await status(one.address, headers=bearer("the-second-token")) for _ in range(3)]

    assert (before, after, new, gone) == (200, 401, 200, [503] * 3)
    assert caplog.text.count("The bearer token cannot be read.") == 1


async def test_token_and_login_stand_side_by_side(tmp_path: Path) -> None:
    settings = ServerSettings(bearer_token=LiteralSecret(Secret("token")))
    async with door(users(tmp_path), settings) as one:
        assert await status(one.address, headers=ADA) == 200
        assert await status(one.address, headers=bearer("token")) == 200
        assert await status(one.address, headers=bearer("token ada")) == 401


async def test_more_requests_than_the_rate_are_refused_but_probes_are_not(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("rate_limit:\n  interval: 2s\n  burst: 3\n")
    async with door(file) as one:
        found = [await status(one.address) for _ in range(4)]
        probe = await status(one.address + "/-/healthy")
        one.clock.advance(2.0)
        later = [await status(one.address) for _ in range(2)]

    assert found == [200, 200, 200, 429]
    assert (probe, later) == (200, [200, 429])


async def test_configured_headers_are_on_every_answer(tmp_path: Path) -> None:
    more = "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n"
    async with door(users(tmp_path, more=more)) as one, ClientSession() as session:
        for headers in (ADA, {}):
            async with session.get(one.address, headers=headers) as response:
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
async def test_another_site_cannot_use_a_browsers_login(
    tmp_path: Path, headers: dict[str, str], expected: int
) -> None:
    async with (
        door(users(tmp_path)) as one,
        ClientSession() as session,
        session.post(one.address + "/-/reload", headers=ADA | headers) as response,
    ):
        assert response.status == expected


async def test_a_new_reading_of_the_configuration_gives_no_new_attempts(tmp_path: Path) -> None:
    visitors = Visitors()
    for _ in range(2):
        async with door(users(tmp_path), visitors=visitors) as one:
            found = [await status(one.address, headers=login("ada", "wrong")) for _ in range(10)]

    assert found == [429] * 10


async def test_a_broken_new_file_changes_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = users(tmp_path)
    async with door(file) as one:
        file.write_text("basic_auth_users:\n  ada: hunter2\n")
        still = [await status(one.address, headers=ADA) for _ in range(3)]
        told = list(one.reloads.results)
        users(tmp_path, password="another one")
        healed = await status(one.address, headers=login("ada", "another one"))

    assert still == [200, 200, 200]
    assert told == [False]
    assert (healed, one.reloads.results) == (200, [False, True])
    assert "hunter2" not in caplog.text
