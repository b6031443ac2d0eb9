"""What is seen of people, on every surface at once, in each mode."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from insights_exporter.application import Application
from insights_exporter.commands import check
from insights_exporter.config import load
from insights_exporter.logs import JsonFormatter, Redactor
from insights_exporter.metrics import catalogue
from insights_exporter.settings import UserNames
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.faults import Fault, Status, WrongTypes
from insights_exporter.simulator.generated import Size, generate
from insights_exporter.simulator.stage import DEMO_TOKEN, stage

SIZE = Size(templates=2, users=6, active_templates=2)
NAMES = [f"zqname{n}" for n in range(SIZE.users)]
READY = catalogue.TEMPLATE_UNIQUE_USERS.name
PATHS = ("/metrics", "/metrics?collect[]=insights", "/", "/config", "/-/healthy", "/-/ready", "/nothing")
WAIT = 60.0
HASHED = re.compile(r"\buser-[0-9a-f]{16}\b")


def people() -> SimulatedDeployment:
    """Return a deployment whose people are easy to find again."""
    world = generate(SIZE)
    users = tuple(
        replace(
            user,
            username=NAMES[n],
            name=f"Zqdisplay {n}",
            email=f"zqmail{n}@example.test",
            avatar_url=f"https://avatars.example.test/zqface{n}.png",
            status="active",
        )
        for n, user in enumerate(world.users)
    )
    return stage(SIZE, world=replace(world, users=users))


@dataclass
class Place:
    """A deployment, and a folder with the configuration for it."""

    coder: SimulatedDeployment
    folder: Path
    url: str
    users: UserNames

    @property
    def file(self) -> Path:
        """The configuration's path."""
        return self.folder / "exporter.yaml"

    @property
    def ids(self) -> list[str]:
        """The ids of people."""
        return [user.id for user in self.coder.world.users]

    def tell(self, more: str = "") -> None:
        """Write the configuration."""
        self.file.write_text(
            f"coder: {{url: '{self.url}', token_file: token, retries: 0}}\n"
            f"privacy: {{users: {self.users}, hash_key_file: key}}\n"
            "insights: {windows: [7d], days: 2, weeks: 1}\n"
            "poll: {interval: 60, offset: 0, jitter: 0, deadline: 5}\n"
            f"server: {{port: 0, enable_reload: true}}\nlog: {{level: debug}}\n{more}"
        )


@asynccontextmanager
async def place(folder: Path, users: UserNames, *, key: str = "k" * 32) -> AsyncIterator[Place]:
    """Serve the deployment and write a configuration of that mode."""
    (folder / "token").write_text(DEMO_TOKEN)
    (folder / "key").write_text(key)
    coder = people()
    async with serve(coder) as url:
        yield Place(coder, folder, url, users)


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[tuple[Application, Callable[..., Awaitable[str]]]]:
    """Run the exporter in this process, and yield it with what fetches a page."""
    application, stop = Application(load(file, {}), load=lambda: load(file, {})), asyncio.Event()
    task = asyncio.create_task(application.run(stop))
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(WAIT):
                address = await application.address

            async def get(path: str, method: str = "GET") -> str:
                async with session.request(method, address + path) as answer:
                    return f"{answer.raw_headers!r}\n{await answer.text()}"

            async with asyncio.timeout(WAIT):
                while READY not in await get("/metrics?collect[]=insights"):  # noqa: ASYNC110 - HTTP.
                    await asyncio.sleep(0.02)
            yield application, get
        finally:
            stop.set()
            await task


async def everything(one: Place) -> dict[str, str]:
    """Run the exporter through good and bad times, and return all that was to be seen of it."""
    found: dict[str, str] = {}
    one.tell()
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(JsonFormatter(Redactor()))
    logging.getLogger().addHandler(handler)
    logging.getLogger("insights_exporter").setLevel(logging.DEBUG)
    async with running(one.file) as (application, get):
        for path in PATHS:
            found[path] = await get(path)
        refusal = Status(status=500, message=f"User {NAMES[1]} is gone.", detail=f"{NAMES[2]} {one.ids[2]}")
        faults: tuple[Fault, ...] = (refusal, WrongTypes())
        for denied, fault in enumerate(faults):
            one.coder.faults.on("*", fault)
            # Another view begins anew, so that everything is asked for.
            one.tell(f"filters: {{templates: {{deny: [x{denied}]}}}}\n")
            found[f"reload under {fault}"] = await get("/-/reload", "POST")
            found[f"page under {fault}"] = await get("/")
            one.coder.faults.clear()
    found["repr"] = repr(application) + repr(vars(application))
    for json in (False, True):
        with redirect_stdout(io.StringIO()) as printed:
            await check(one.file, json=json, poll=True)
        found[f"check, {json=}"] = printed.getvalue()
    logging.getLogger().removeHandler(handler)
    found["log"] = log.getvalue()
    return found


def where(found: dict[str, str], words: list[str]) -> dict[str, list[str]]:
    """Return the words that each surface shows, where it shows any."""
    seen = {
        surface: [word for word in words if word.lower() in text.lower()] for surface, text in found.items()
    }
    return {surface: words for surface, words in seen.items() if words}


@pytest.mark.parametrize("users", [UserNames.HASHED, UserNames.OFF])
async def test_nobody_is_recognised_anywhere_where_names_are_hashed_or_off(
    tmp_path: Path, users: UserNames
) -> None:
    async with place(tmp_path, users) as one:
        found = await everything(one)

    assert where(found, ["zqname", "zqdisplay", "zqmail", "zqface", *one.ids]) == {}
    shows = {surface for surface, text in found.items() if HASHED.search(text)}
    assert ({"/metrics", "/"} <= shows) == (users is UserNames.HASHED)
    assert users is not UserNames.OFF or not shows


async def test_names_are_shown_with_what_belongs_to_them_but_mail_addresses_never(tmp_path: Path) -> None:
    async with place(tmp_path, UserNames.NAMED) as one:
        found = await everything(one)

    assert {"/metrics", "/"} <= where(found, ["zqname"]).keys()
    assert "/metrics" in where(found, ["zqdisplay"])
    assert where(found, ["zqmail"]) == {}
