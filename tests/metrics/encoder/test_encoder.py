"""The encoder of expositions: the same text as ``encode``, in blocks that are reused while unchanged."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from insights_exporter.metrics.catalogue import USER_ACTIVITY, USER_ACTIVITY_WINDOW
from insights_exporter.metrics.encoder import EncodedBody, Encoder, FamilySamples, Format, SeriesGroup
from tests.support.exposition_text import encode_family


def user_activity(groups: list[SeriesGroup], names: Mapping[str, str]) -> FamilySamples:
    """Return a counter with a series per user."""
    return FamilySamples(USER_ACTIVITY, created=1.5, groups=groups, username_labels=names)


def group_of(template: str, values: Mapping[str, float]) -> SeriesGroup:
    """Return the group of a template."""
    return SeriesGroup.from_values(("acme", template, ""), values, {name: name for name in values})


@pytest.mark.parametrize("exposition_format", Format)
@pytest.mark.parametrize("sizes", [[], [3], [600], [1, 600, 2, 2]])
def test_encoder_returns_the_text_of_encode(exposition_format: Format, sizes: list[int]) -> None:
    encoder = Encoder(after_block=lambda: None)
    groups = [group_of(f"go{n}", {f"user{k}": 1.5 for k in range(size)}) for n, size in enumerate(sizes)]
    names = {f"user{k}": f"user{k}" for k in range(600)}
    samples = user_activity(groups, names)

    assert encoder.encode(samples, exposition_format).plain() == encode_family(samples, exposition_format)


def test_blocks_of_unchanged_groups_are_reused() -> None:
    blocks: list[None] = []
    encoder = Encoder(after_block=lambda: blocks.append(None))
    users = {f"user{k}": 1.5 for k in range(500)}
    unchanged, names = group_of("go", users), {name: name for name in users}
    counts = []
    for changed in (group_of("rust", users), group_of("rust", users)):
        blocks.clear()
        encoder.encode(user_activity([unchanged, changed], names), Format.TEXT)
        encoder.finish_snapshot()
        counts.append(len(blocks))

    assert counts == [2, 1]


def test_groups_without_creation_time_are_encoded_once_for_both_formats() -> None:
    blocks: list[None] = []
    encoder = Encoder(after_block=lambda: blocks.append(None))
    users = {"ada": 1.5}
    group = SeriesGroup.from_values(("acme", "go", "", "7d"), users, {"ada": "ada"})
    samples = FamilySamples(USER_ACTIVITY_WINDOW, groups=[group], username_labels={"ada": "ada"})
    bodies = [encoder.encode(samples, exposition_format) for exposition_format in Format]

    assert len(blocks) == 1
    assert [body.plain() for body in bodies] == [encode_family(samples, one) for one in Format]


def test_small_groups_share_a_block() -> None:
    encoder = Encoder(after_block=lambda: None)
    users = {f"user{k}": 1.5 for k in range(5)}
    groups = [group_of(f"go{n}", users) for n in range(100)]
    together = encoder.encode(user_activity(groups, {name: name for name in users}), Format.TEXT)
    apart = EncodedBody.join(
        encoder.encode(user_activity([group], {name: name for name in users}), Format.TEXT)
        for group in groups
    )

    assert sum(map(len, together.chunks)) < sum(map(len, apart.chunks)) / 4
