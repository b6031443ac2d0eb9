"""Text of per-user series: the labels that the users of a group share are formatted once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import cast

from insights_exporter.metrics.encoder.label_pairs import BLOCK_ROWS, LabelPairCache
from insights_exporter.metrics.encoder.number_format import (
    format_float,
    format_floats,
    json_compatible,
    json_floats,
)
from insights_exporter.metrics.encoder.samples import FamilySamples, SeriesGroup
from insights_exporter.metrics.family import Family

__all__ = ["encode_groups"]

_USER_LABEL = "username"


def encode_groups(
    samples: FamilySamples,
    groups: Iterable[SeriesGroup],
    label_pairs: LabelPairCache,
    created: float | None,
) -> Iterator[bytes]:
    """Yield the series of groups in blocks; ``created`` adds a ``_created`` series to each."""
    username_labels = cast("Mapping[str, str]", samples.username_labels)
    user_pairs = label_pairs[_USER_LABEL]
    encoded: list[str] = []
    row_count = 0
    for group in groups:
        affixes = _shared_labels(samples.family, group, label_pairs)
        as_json = group.min_max is not None and json_compatible(*group.min_max)
        for users in _chunks(group.values):
            values = list(users.values())
            numbers = json_floats(values) if as_json else format_floats(values)
            pairs = map(user_pairs.__getitem__, map(username_labels.__getitem__, users))
            encoded.append(_encode_rows(samples.family, affixes, zip(pairs, numbers, strict=True), created))
            row_count += len(users)
            if row_count >= BLOCK_ROWS:
                yield "".join(encoded).encode()
                encoded, row_count = [], 0
    if encoded:
        yield "".join(encoded).encode()


def _shared_labels(family: Family, group: SeriesGroup, label_pairs: LabelPairCache) -> tuple[str, str]:
    """Return the text before and after the username label, braces included; labels are sorted by name."""
    pairs = sorted(
        (label, label_pairs[label][value])
        for label, value in zip(family.labels, group.labels, strict=True)
        if label != _USER_LABEL
    )
    before = "".join([f"{pair}," for label, pair in pairs if label < _USER_LABEL])
    after = "".join([f",{pair}" for label, pair in pairs if label > _USER_LABEL])
    return "{" + before, after + "}"


def _encode_rows(
    family: Family, affixes: tuple[str, str], rows: Iterable[tuple[str, str]], created: float | None
) -> str:
    """Return the series of username labels and formatted values."""
    before, after = affixes
    prefix = family.name + before
    if created is None:
        lines = [f"{pair}{after} {number}\n" for pair, number in rows]
    else:
        created_prefix = f"{family.base_name}_created{before}"
        created_suffix = f"{after} {format_float(created)}\n"
        lines = [f"{pair}{after} {number}\n{created_prefix}{pair}{created_suffix}" for pair, number in rows]
    # Joining with the prefix is faster than formatting it into each line.
    return prefix + prefix.join(lines)


def _chunks(values: Mapping[str, float]) -> Iterator[Mapping[str, float]]:
    """Yield values in mappings of at most a block."""
    if 0 < len(values) <= BLOCK_ROWS:
        yield values
        return
    remaining = iter(values.items())
    while block := dict(islice(remaining, BLOCK_ROWS)):
        yield block
