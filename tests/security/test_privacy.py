"""What is seen of people, on every surface at once, in each mode."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Kind
from insights_exporter.settings import UserNames
from insights_exporter.simulator.api.faults import Fault, Status, WrongTypes
from insights_exporter.simulator.generated import GeneratedWorld, Size, generate
from tests.security.seen import PAGES, PUSHES, STATE, Found, Place, checked, logged, place, running, where

SIZE = Size(templates=2, users=6, active_templates=2)
NAMES = [f"zqname{n}" for n in range(SIZE.users)]
HASHED = re.compile(r"\buser-[0-9a-f]{16}\b")


def people() -> GeneratedWorld:
    """Return a world whose people are easy to find again."""
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
    return replace(world, users=users)


async def everything(one: Place) -> Found:
    """Run the exporter through good and bad times, and return all that was to be seen of it."""
    found: Found = {}
    one.tell()
    with logged() as log:
        async with running(one) as (application, get):
            for path in PAGES:
                found[path] = await get(path)
            found[STATE] = one.written()[STATE]
            for denied, fault in enumerate(faults(one)):
                one.coder.faults.on("*", fault)
                # Another view begins anew, so that everything is asked for.
                one.tell(f"filters: {{templates: {{deny: [x{denied}]}}}}\n")
                found[f"reload under {fault}"] = await get("/-/reload", "POST")
                found[f"page under {fault}"] = await get("/")
                one.coder.faults.clear()
        one.coder.faults.on("*", faults(one)[0])
        found |= {f"{name} that is refused": said for name, said in (await checked(one.file)).items()}
        one.coder.faults.clear()
        found["repr"] = repr(application) + repr(vars(application))
        found |= {PUSHES: one.written()[PUSHES], "state file at the end": one.written()[STATE]}
        found |= await checked(one.file)
    return found | {"log": log.getvalue()}


def faults(one: Place) -> tuple[Fault, ...]:
    """Return what goes wrong: Coder names people in its errors, and answers are not what they should be."""
    someone = one.coder.world.users[2]
    detail = f"{someone.username} {someone.id}"
    return Status(status=500, message=f"User {NAMES[1]} is gone.", detail=detail), WrongTypes()


def people_by_family(page: str) -> dict[str, set[str]]:
    """Return who has series in each family that tells of people."""
    return {
        family.name: set(
            re.findall(rf'^{family.name}(?:_bucket)?{{.*?username="([^"]*)"', page, re.MULTILINE)
        )
        for family in catalogue.FAMILIES
        if "username" in family.labels
    }


def test_people_are_told_of_by_each_collector_that_could_and_in_histograms_too() -> None:
    personal = [family for family in catalogue.FAMILIES if "username" in family.labels]

    assert {family.collector for family in personal} == {"insights", "inventory", "agent_stats"}
    assert Kind.HISTOGRAM in {family.kind for family in personal}


@pytest.mark.parametrize("users", [UserNames.HASHED, UserNames.OFF])
async def test_nobody_is_recognised_anywhere_where_names_are_hashed_or_off(
    tmp_path: Path, users: UserNames
) -> None:
    async with place(tmp_path, people(), users) as one:
        found = await everything(one)
    ids = [user.id for user in one.coder.world.users]
    families = people_by_family(found["/metrics"])

    assert where(found, ["zqname", "zqdisplay", "zqmail", "zqface", *ids]) == {}
    assert all(HASHED.fullmatch(name) for names in families.values() for name in names)
    shows = {surface for surface, text in found.items() if HASHED.search(text)}
    if users is UserNames.OFF:
        assert (shows, set().union(*families.values())) == (set(), set())
    else:
        assert {"/metrics", "/", PUSHES, STATE} <= shows
        assert [name for name, names in families.items() if not names] == []


async def test_names_are_shown_with_what_belongs_to_them_but_mail_addresses_never(tmp_path: Path) -> None:
    async with place(tmp_path, people(), UserNames.NAMED) as one:
        found = await everything(one)
    ids = [user.id for user in one.coder.world.users]

    refused = {"check that is refused", "check --json that is refused"}

    assert {"/metrics", "/", PUSHES, STATE, "log", *refused} <= where(found, ["zqname"]).keys()
    for detail in ("zqdisplay", "zqface", *ids):
        assert {"/metrics", PUSHES} <= where(found, [detail]).keys()
    assert where(found, ["zqmail"]) == {}
    assert [name for name, names in people_by_family(found["/metrics"]).items() if not names] == []
