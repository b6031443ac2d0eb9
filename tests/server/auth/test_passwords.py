"""Password verification: equal cost for unknown users, and the cache of verified logins."""

from __future__ import annotations

from pathlib import Path

import bcrypt
import pytest

from tests.server.auth.auth_server import (
    PASSWORD,
    VALID_LOGIN,
    auth_server,
    basic_auth,
    bcrypt_hash,
    get_status,
    write_web_config,
)


def record_checkpw(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that collects each hash that a password is compared with."""
    hashes, original = list[bytes](), bcrypt.checkpw

    def recording_checkpw(password: bytes, stored_hash: bytes) -> bool:
        hashes.append(stored_hash)
        return original(password, stored_hash)

    monkeypatch.setattr(bcrypt, "checkpw", recording_checkpw)
    return hashes


async def test_wrong_password_and_unknown_user_take_equal_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown user costs one comparison with a hash of the same number of rounds."""
    hashes = record_checkpw(monkeypatch)
    async with auth_server(write_web_config(tmp_path, cost=6)) as server:
        wrong = await get_status(server.url, headers=basic_auth("ada", "wrong"))
        known_user_prefixes = [hash_[:7] for hash_ in hashes]
        hashes.clear()
        unknown = await get_status(server.url, headers=basic_auth("nobody", PASSWORD))

    assert wrong == unknown == 401
    assert known_user_prefixes == [hash_[:7] for hash_ in hashes] == [b"$2b$06$"]


async def test_unknown_user_gets_a_stable_dummy_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = record_checkpw(monkeypatch)
    file = tmp_path / "web.yml"
    file.write_text(
        "".join(["basic_auth_users:\n", *(f"  u{n}: {bcrypt_hash('p', 4 + n)}\n" for n in range(4))])
    )
    async with auth_server(file) as server:
        for name in [f"nobody-{n}" for n in range(40)] * 2:
            server.clock.advance(1)
            await get_status(server.url, headers=basic_auth(name, "p"))

    assert hashes[:40] == hashes[40:]
    assert {hash_[:7] for hash_ in hashes} == {b"$2b$04$", b"$2b$05$", b"$2b$06$", b"$2b$07$"}


async def test_verified_login_is_cached_until_its_hash_changes(tmp_path: Path) -> None:
    file = write_web_config(tmp_path, cost=10)
    async with auth_server(file) as server:
        first = [await get_status(server.url, headers=VALID_LOGIN) for _ in range(50)]
        write_web_config(tmp_path, password="another one")
        after = await get_status(server.url, headers=VALID_LOGIN)

    # An address has ten attempts, so most of the fifty logins came from the cache.
    assert first == [200] * 50
    assert after == 401
