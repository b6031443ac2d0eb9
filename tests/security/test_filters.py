"""Excluded names appear in no output; allowed names appear in all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from insights_exporter.config.settings import UsernameMode
from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world
from tests.security.exporter_process import PATHS
from tests.security.surfaces import (
    PUSHES,
    STATE,
    Surfaces,
    capture_log,
    check_output,
    exporter_environment,
    run_exporter,
    surfaces_containing,
)

SIZE = Size(templates=4, users=12, active_templates=4)
IN_HIDDEN_ORGANIZATION, HIDDEN = 1, 3
"""Indices of two templates: excluded by its organization, and excluded by its name."""

# Patterns, because `/config` shows the filters and must not contain the names.
FILTERS = {
    "deny": "filters: {organizations: {deny: ['*hidden*']}, templates: {deny: ['*hidden*']}, "
    "users: {deny: ['*hidden*']}}\n",
    "allow": "filters: {organizations: {allow: ['*open*']}, templates: {allow: ['*open*', '*inside*']}, "
    "users: {allow: ['*open*']}}\n",
}


def world() -> GeneratedWorld:
    """Return a world in which some names are to be excluded; each template has sessions from the start."""
    generated = generate_world(SIZE, seed=4)
    open_organization, hidden_organization = (
        replace(item, name=f"zq{kind}-org", display_name=f"Zq{kind}-org")
        for item, kind in zip(generated.organizations, ("open", "hidden"), strict=False)
    )
    kinds = {IN_HIDDEN_ORGANIZATION: "inside", HIDDEN: "hidden"}
    templates = tuple(
        replace(
            item,
            organization=hidden_organization if n == IN_HIDDEN_ORGANIZATION else open_organization,
            name=f"zq{kinds.get(n, 'open')}-template-{n}",
            display_name=f"Zq{kinds.get(n, 'open')}-template {n}",
        )
        for n, item in enumerate(generated.templates)
    )
    users = tuple(
        replace(
            item,
            username=f"zq{kind}-user-{n}",
            name=f"Zq{kind}-user {n}",
            avatar_url=f"https://avatars.example.test/zq{kind}-face-{n}.png",
            status="active",
        )
        for n, item in enumerate(generated.users)
        for kind in ("hidden" if n % 2 else "open",)
    )
    return replace(
        generated, organizations=(open_organization, hidden_organization), templates=templates, users=users
    )


async def collect_surfaces(folder: Path, filters: str) -> Surfaces:
    """Run the exporter with these filters and return the content of each output."""
    async with exporter_environment(folder, world(), UsernameMode.NAMED) as environment:
        environment.write_config(filters)
        with capture_log() as log:
            async with run_exporter(environment) as (_, get):
                surfaces = {path: await get(path) for path in PATHS}
                surfaces["reload"] = await get("/-/reload", "POST")
            surfaces |= environment.outputs() | await check_output(environment.config_file)
    return surfaces | {"log": log.getvalue()}


@pytest.mark.parametrize("lists", FILTERS)
async def test_denied_names_appear_nowhere(tmp_path: Path, lists: str) -> None:
    generated = world()
    ids = [
        generated.templates[IN_HIDDEN_ORGANIZATION].id,
        generated.templates[HIDDEN].id,
        *(user.id for user in generated.users[1::2]),
    ]

    surfaces = await collect_surfaces(tmp_path, FILTERS[lists])

    assert surfaces_containing(surfaces, ["zqhidden", "zqinside", *ids]) == {}
    for word in ("zqopen-org", "zqopen-template", "zqopen-user"):
        assert {"/metrics", "/", PUSHES, STATE} <= surfaces_containing(surfaces, [word]).keys()


async def test_all_names_appear_without_filters(tmp_path: Path) -> None:
    surfaces = await collect_surfaces(tmp_path, "")

    for word in ("zqopen-org", "zqhidden-org", "zqinside-template", "zqhidden-template", "zqhidden-user"):
        assert {"/metrics", "/", PUSHES, STATE} <= surfaces_containing(surfaces, [word]).keys()
    assert surfaces_containing(surfaces, ["zqhidden-face"]).keys() >= {"/metrics", PUSHES}
