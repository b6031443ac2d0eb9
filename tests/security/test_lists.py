"""What allow and deny lists leave out appears nowhere, and what they let through appears alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from insights_exporter.settings import UserNames
from insights_exporter.simulator.generated import GeneratedWorld, Size, generate
from tests.security.seen import PAGES, PUSHES, STATE, Found, checked, logged, place, running, where

SIZE = Size(templates=4, users=12, active_templates=4)
INSIDE, HIDDEN = 1, 3
"""Places of templates: one that its organization hides, and one that is hidden itself."""

# As patterns: the configuration is shown as well, and must not hold the names themselves.
LISTS = {
    "deny": "filters: {organizations: {deny: ['*hidden*']}, templates: {deny: ['*hidden*']}, "
    "users: {deny: ['*hidden*']}}\n",
    "allow": "filters: {organizations: {allow: ['*open*']}, templates: {allow: ['*open*', '*inside*']}, "
    "users: {allow: ['*open*']}}\n",
}


def world() -> GeneratedWorld:
    """Return a world a part of which has names to hide; each template has sessions from the start."""
    made = generate(SIZE, seed=4)
    ours, theirs = (
        replace(one, name=f"zq{kind}-org", display_name=f"Zq{kind}-org")
        for one, kind in zip(made.organizations, ("open", "hidden"), strict=False)
    )
    kinds = {INSIDE: "inside", HIDDEN: "hidden"}
    templates = tuple(
        replace(
            one,
            organization=theirs if n == INSIDE else ours,
            name=f"zq{kinds.get(n, 'open')}-template-{n}",
            display_name=f"Zq{kinds.get(n, 'open')}-template {n}",
        )
        for n, one in enumerate(made.templates)
    )
    users = tuple(
        replace(
            one,
            username=f"zq{kind}-user-{n}",
            name=f"Zq{kind}-user {n}",
            avatar_url=f"https://avatars.example.test/zq{kind}-face-{n}.png",
            status="active",
        )
        for n, one in enumerate(made.users)
        for kind in ("hidden" if n % 2 else "open",)
    )
    return replace(made, organizations=(ours, theirs), templates=templates, users=users)


async def everything(folder: Path, lists: str) -> Found:
    """Run the exporter with these lists, and return all that was to be seen of it."""
    async with place(folder, world(), UserNames.NAMED) as one:
        one.tell(lists)
        with logged() as log:
            async with running(one) as (_, get):
                found = {path: await get(path) for path in PAGES}
                found["reload"] = await get("/-/reload", "POST")
            found |= one.written() | await checked(one.file)
    return found | {"log": log.getvalue()}


@pytest.mark.parametrize("lists", LISTS)
async def test_what_is_left_out_appears_nowhere(tmp_path: Path, lists: str) -> None:
    made = world()
    ids = [made.templates[INSIDE].id, made.templates[HIDDEN].id, *(one.id for one in made.users[1::2])]

    found = await everything(tmp_path, LISTS[lists])

    assert where(found, ["zqhidden", "zqinside", *ids]) == {}
    for word in ("zqopen-org", "zqopen-template", "zqopen-user"):
        assert {"/metrics", "/", PUSHES, STATE} <= where(found, [word]).keys()


async def test_without_lists_everything_appears_everywhere(tmp_path: Path) -> None:
    found = await everything(tmp_path, "")

    for word in ("zqopen-org", "zqhidden-org", "zqinside-template", "zqhidden-template", "zqhidden-user"):
        assert {"/metrics", "/", PUSHES, STATE} <= where(found, [word]).keys()
    assert where(found, ["zqhidden-face"]).keys() >= {"/metrics", PUSHES}
