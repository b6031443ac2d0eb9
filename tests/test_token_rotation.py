"""Rotation of the session token, with failures at every step."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from insights_exporter.config.settings import CoderSettings
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import FileSecret, LiteralSecret, Secret
from insights_exporter.token_rotation import RotationError, TokenRotation
from tests.support.clock import FakeClock

OLD = "oldkey0000-0000000000000000000000"
NEW = "newkey0000-1111111111111111111111"
DAY = 86_400
TOKENS = "/api/v2/users/me/keys/tokens"


@dataclass
class FakeTokenApi:
    """Coder's token endpoints; ``failing`` are requests that return an error, as ``METHOD path``."""

    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    created: list[dict[str, Any]] = field(default_factory=list)
    account_of: dict[str, str] = field(default_factory=lambda: {OLD: "u1", NEW: "u1"})
    max_lifetime: int = 100 * DAY
    before_response: Callable[[str], None] = lambda _: None
    url: str = ""

    def __post_init__(self) -> None:
        """Add the old token."""
        self.add(OLD, name="insights", lifetime=30 * DAY)

    def add(self, token: str, *, name: str, lifetime: float, scope: str = "all") -> None:
        """Add a token."""
        self.tokens[token] = {
            "id": token.partition("-")[0],
            "token_name": name,
            "scope": scope,
            "lifetime_seconds": int(lifetime),
        }

    async def handle(self, request: web.Request) -> web.Response:  # noqa: PLR0911  # One per endpoint.
        """Respond to one request."""
        name = f"{request.method} {request.path.removeprefix('/api/v2')}"
        self.before_response(name)
        token = request.headers.get("Coder-Session-Token", "")
        if token not in self.tokens:
            return web.json_response({"message": "Out.", "detail": "API key is invalid."}, status=401)
        if name in self.failing:
            return web.json_response({"message": "Sorry."}, status=500)
        if name == "GET /users/me":
            return web.json_response({"id": self.account_of[token], "username": "exporter"})
        if request.path == f"{TOKENS}/tokenconfig":
            return web.json_response({"max_token_lifetime": self.max_lifetime * 10**9})
        if request.path == TOKENS and request.method == "POST":
            body = await request.json()
            self.created.append(body)
            self.add(NEW, name=body["token_name"], lifetime=body["lifetime"] / 10**9)
            return web.json_response({"key": NEW}, status=201)
        if request.path == TOKENS:
            return web.json_response(list(self.tokens.values()))
        key_id = request.path.rpartition("/")[2]
        self.tokens = {key: row for key, row in self.tokens.items() if row["id"] != key_id}
        return web.Response(status=204)


@pytest.fixture
async def api() -> AsyncIterator[FakeTokenApi]:
    fake = FakeTokenApi()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        fake.url = str(server.make_url("/"))
        yield fake


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{OLD}\n")
    return file


def read(file: Path) -> str:
    return file.read_text()


def siblings(file: Path) -> list[str]:
    return [path.name for path in file.parent.iterdir()]


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def is_link(file: Path) -> bool:
    return file.is_symlink()


def make_world_readable(file: Path) -> None:
    file.chmod(0o644)


@dataclass
class Rotation:
    """A rotation and its output."""

    rotation: TokenRotation
    clock: FakeClock
    lines: list[str]

    async def run(self, *, dry_run: bool = False) -> None:
        """Rotate the token."""
        await self.rotation.run(dry_run=dry_run)


def rotation_of(
    api: FakeTokenApi, file: Path, *, lifetime: float | None = None, revoke_delay: float = 0.0
) -> Rotation:
    settings = CoderSettings(url=api.url, token=FileSecret(file), retries=0)
    clock, lines = FakeClock(), list[str]()
    rotation = TokenRotation(
        settings, clock=clock, report=lines.append, lifetime=lifetime, revoke_delay=revoke_delay
    )
    return Rotation(rotation, clock, lines)


async def test_rotation_replaces_the_file_and_revokes_the_old_token(
    api: FakeTokenApi, token_file: Path
) -> None:
    make_world_readable(token_file)
    rotation = rotation_of(api, token_file, revoke_delay=5)
    await rotation.run()

    assert read(token_file) == f"{NEW}\n"
    assert mode_of(token_file) == 0o600
    assert list(api.tokens) == [NEW]
    assert api.created == [
        {"token_name": "insights-20260114102000", "lifetime": 30 * DAY * 10**9, "scope": "all"}
    ]
    assert rotation.clock.sleeps == [5]
    assert siblings(token_file) == ["token"]
    assert NEW not in "".join(rotation.lines)
    assert rotation.lines[-1] == "revoked token oldkey0000"


async def test_suffix_of_an_earlier_rotation_is_replaced(api: FakeTokenApi, token_file: Path) -> None:
    api.add(OLD, name="insights-20251231000000", lifetime=DAY)
    await rotation_of(api, token_file, lifetime=90 * DAY).run()

    assert api.created[0]["token_name"] == "insights-20260114102000"
    assert api.created[0]["lifetime"] == 90 * DAY * 10**9


async def test_scopes_are_kept(api: FakeTokenApi, token_file: Path) -> None:
    api.tokens[OLD]["scopes"] = ["workspace:read", "template:read"]
    await rotation_of(api, token_file).run()

    assert api.created[0]["scopes"] == ["template:read", "workspace:read"]
    assert "scope" not in api.created[0]


async def test_dry_run_changes_nothing(api: FakeTokenApi, token_file: Path) -> None:
    rotation = rotation_of(api, token_file)
    await rotation.run(dry_run=True)

    assert (read(token_file), list(api.tokens)) == (f"{OLD}\n", [OLD])
    assert siblings(token_file) == ["token"]
    line = (
        "dry run: would create token insights-20260114102000 for 30 days, "
        f"write it to {token_file} and revoke token oldkey0000"
    )
    assert rotation.lines == [line]


@pytest.mark.parametrize(
    "failing",
    ["GET /users/me", "GET /users/me/keys/tokens", "GET /users/me/keys/tokens/tokenconfig"],
)
async def test_failure_before_creation_changes_nothing(
    api: FakeTokenApi, token_file: Path, failing: str
) -> None:
    api.failing = {failing}

    with pytest.raises(RotationError, match="the token is unchanged"):
        await rotation_of(api, token_file).run()

    assert (read(token_file), list(api.tokens)) == (f"{OLD}\n", [OLD])


async def test_failed_creation_names_the_token_that_may_exist(api: FakeTokenApi, token_file: Path) -> None:
    api.failing = {"POST /users/me/keys/tokens"}

    with pytest.raises(RotationError, match="if Coder lists a token insights-20260114102000, revoke it"):
        await rotation_of(api, token_file).run()

    assert read(token_file) == f"{OLD}\n"
    assert siblings(token_file) == ["token"]


@pytest.mark.parametrize("account", ["", "u2"])
async def test_new_token_that_fails_verification_is_revoked(
    api: FakeTokenApi, token_file: Path, account: str
) -> None:
    api.account_of[NEW] = account

    with pytest.raises(RotationError, match="the old token stays in"):
        await rotation_of(api, token_file).run()

    assert (read(token_file), list(api.tokens)) == (f"{OLD}\n", [OLD])


async def test_full_disk_keeps_the_old_token(
    api: FakeTokenApi, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(RotationError, match="No space left on device"):
        await rotation_of(api, token_file).run()

    assert (read(token_file), list(api.tokens)) == (f"{OLD}\n", [OLD])
    assert siblings(token_file) == ["token"]


async def test_failed_revocation_keeps_both_tokens_valid(api: FakeTokenApi, token_file: Path) -> None:
    api.failing = {"DELETE /users/me/keys/oldkey0000"}

    with pytest.raises(RotationError, match="coder tokens remove oldkey0000"):
        await rotation_of(api, token_file).run()

    assert read(token_file) == f"{NEW}\n"
    assert set(api.tokens) == {OLD, NEW}


@pytest.mark.parametrize("step", range(1, 8))
async def test_cancellation_at_any_request_leaves_a_valid_token(
    api: FakeTokenApi, token_file: Path, step: int
) -> None:
    """As after SIGINT or a deadline of the CronJob."""
    steps = 0

    def cancel_at_step(_: str) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            task.cancel()

    api.before_response = cancel_at_step
    task = asyncio.create_task(rotation_of(api, token_file).run())
    await asyncio.gather(task, return_exceptions=True)

    assert read(token_file).strip() in api.tokens
    assert siblings(token_file) == ["token"]


@pytest.fixture
def linked_token_file(tmp_path: Path) -> Path:
    target = tmp_path / "data" / "token"
    target.parent.mkdir()
    target.write_text(OLD)
    link = tmp_path / "token"
    link.symlink_to(target)
    return link


async def test_symbolic_link_is_kept(api: FakeTokenApi, linked_token_file: Path) -> None:
    await rotation_of(api, linked_token_file).run()

    assert read(linked_token_file) == f"{NEW}\n"
    assert is_link(linked_token_file)


async def test_unwritable_folder_is_rejected_before_creation(
    api: FakeTokenApi, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> tuple[int, str]:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", fail)

    with pytest.raises(ConfigError, match=r"coder\.token_file: .*Read-only file system"):
        await rotation_of(api, token_file).run()

    assert api.created == []


async def test_lifetime_above_the_maximum_is_rejected(api: FakeTokenApi, token_file: Path) -> None:
    with pytest.raises(ConfigError, match="--lifetime: expected at most 100 days"):
        await rotation_of(api, token_file, lifetime=101 * DAY).run()

    assert api.created == []


async def test_old_lifetime_above_the_maximum_is_reduced(api: FakeTokenApi, token_file: Path) -> None:
    api.max_lifetime = 7 * DAY
    await rotation_of(api, token_file).run()

    assert api.created[0]["lifetime"] == 7 * DAY * 10**9


def test_token_without_a_file_is_rejected(api: FakeTokenApi) -> None:
    settings = CoderSettings(url=api.url, token=LiteralSecret(Secret(OLD)))

    with pytest.raises(ConfigError, match=r"coder\.token_file: expected a file"):
        TokenRotation(settings, clock=FakeClock(), report=print)
