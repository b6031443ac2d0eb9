"""Personal data in every output, for each mode of ``privacy.users``."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from insights_exporter.config.settings import UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import MetricType
from insights_exporter.simulator.api.fault_injection import Fault, Status, WrongTypes
from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world
from tests.security.exporter_process import PATHS
from tests.security.surfaces import (
    PUSHES,
    STATE,
    ExporterEnvironment,
    Surfaces,
    capture_log,
    check_output,
    exporter_environment,
    run_exporter,
    surfaces_containing,
)

SIZE = Size(templates=2, users=6, active_templates=2)
USERNAMES = [f"zqname{n}" for n in range(SIZE.users)]
AT_WORK = {catalogue.USER_AGENTS.name, catalogue.USER_AGENT_RELAY_LATENCY.name}
"""Families that are empty while no workspace runs, as at night."""

HASHED_USERNAME = re.compile(r"\buser-[0-9a-f]{16}\b")


def world_with_marked_users() -> GeneratedWorld:
    """Return a world whose users have recognisable names; the last one never signed in."""
    world = generate_world(SIZE, today=datetime.now(UTC).date(), joined=1)
    users = tuple(
        replace(
            user,
            username=USERNAMES[n],
            name=f"Zqdisplay {n}",
            email=f"zqmail{n}@example.test",
            avatar_url=f"https://avatars.example.test/zqface{n}.png",
            status="active",
        )
        for n, user in enumerate(world.users)
    )
    return replace(world, users=users)


async def collect_surfaces(environment: ExporterEnvironment) -> Surfaces:
    """Run the exporter without and with failures, and return the content of each output."""
    surfaces: Surfaces = {}
    environment.write_config()
    with capture_log() as log:
        async with run_exporter(environment) as (application, get):
            for path in PATHS:
                surfaces[path] = await get(path)
            surfaces[STATE] = environment.outputs()[STATE]
            for index, fault in enumerate(injected_faults(environment)):
                environment.deployment.faults.inject("*", fault)
                # Other filters invalidate the cache, so the exporter requests everything again.
                environment.write_config(f"filters: {{templates: {{deny: [x{index}]}}}}\n")
                surfaces[f"reload under {fault}"] = await get("/-/reload", "POST")
                surfaces[f"page under {fault}"] = await get("/")
                environment.deployment.faults.clear()
        environment.deployment.faults.inject("*", injected_faults(environment)[0])
        surfaces |= {
            f"{name} with failures": text
            for name, text in (await check_output(environment.config_file)).items()
        }
        environment.deployment.faults.clear()
        surfaces["repr"] = repr(application) + repr(vars(application))
        surfaces |= {
            PUSHES: environment.outputs()[PUSHES],
            "state file at the end": environment.outputs()[STATE],
        }
        surfaces |= await check_output(environment.config_file)
    return surfaces | {"log": log.getvalue()}


def injected_faults(environment: ExporterEnvironment) -> tuple[Fault, ...]:
    """Return failures: errors of Coder that contain usernames, and responses of wrong types."""
    user = environment.deployment.world.users[2]
    detail = f"{user.username} {user.id}"
    return Status(status=500, message=f"User {USERNAMES[1]} is gone.", detail=detail), WrongTypes()


def usernames_by_family(exposition: str) -> dict[str, set[str]]:
    """Return the usernames in each family with the label ``username``."""
    return {
        family.name: set(
            re.findall(rf'^{family.name}(?:_bucket)?{{.*?username="([^"]*)"', exposition, re.MULTILINE)
        )
        for family in catalogue.FAMILIES
        if "username" in family.labels
    }


def test_each_collector_has_user_families() -> None:
    user_families = [family for family in catalogue.FAMILIES if "username" in family.labels]

    assert {family.collector for family in user_families} == {"insights", "inventory", "agent_stats"}
    assert MetricType.HISTOGRAM in {family.type for family in user_families}


@pytest.mark.parametrize("users", [UsernameMode.HASHED, UsernameMode.OFF])
async def test_users_are_unrecognizable_when_hashed_or_off(tmp_path: Path, users: UsernameMode) -> None:
    async with exporter_environment(tmp_path, world_with_marked_users(), users) as environment:
        surfaces = await collect_surfaces(environment)
    ids = [user.id for user in environment.deployment.world.users]
    families = usernames_by_family(surfaces["/metrics"])

    assert surfaces_containing(surfaces, ["zqname", "zqdisplay", "zqmail", "zqface", *ids]) == {}
    assert all(HASHED_USERNAME.fullmatch(name) for names in families.values() for name in names)
    surfaces_with_hashes = {surface for surface, text in surfaces.items() if HASHED_USERNAME.search(text)}
    if users is UsernameMode.OFF:
        assert (surfaces_with_hashes, set().union(*families.values())) == (set(), set())
    else:
        assert {"/metrics", "/", PUSHES, STATE} <= surfaces_with_hashes
        assert [name for name, names in families.items() if not names and name not in AT_WORK] == []


async def test_named_mode_shows_users_but_never_email(tmp_path: Path) -> None:
    async with exporter_environment(tmp_path, world_with_marked_users(), UsernameMode.NAMED) as environment:
        surfaces = await collect_surfaces(environment)
    ids = [user.id for user in environment.deployment.world.users]

    failed_checks = {"check with failures", "check --json with failures"}

    assert {"/metrics", "/", PUSHES, STATE, "log", *failed_checks} <= surfaces_containing(
        surfaces, ["zqname"]
    ).keys()
    for detail in ("zqdisplay", "zqface", *ids):
        assert {"/metrics", PUSHES} <= surfaces_containing(surfaces, [detail]).keys()
    assert surfaces_containing(surfaces, ["zqmail"]) == {}
    families = usernames_by_family(surfaces["/metrics"])
    assert [name for name, names in families.items() if not names and name not in AT_WORK] == []
