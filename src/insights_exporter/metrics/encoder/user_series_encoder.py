"""Rows of many users as text; all that a portion's rows have in common is made once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec

from insights_exporter.metrics.encoder.number_format import (
    BLOCK_ROWS,
    escape_label_value,
    format_float,
    format_floats,
    json_compatible,
    json_floats,
)
from insights_exporter.metrics.encoder.user_series import SeriesGroup, UserSeries
from insights_exporter.metrics.family import Family

__all__ = ["UserSeriesEncoder"]

# No label value has these: they stand in for colons and commas, which label values and labels do have.
_COLON_PLACEHOLDER: Final = b"\1"
_COMMA_PLACEHOLDER: Final = b"\2"
_TO_PLACEHOLDERS: Final = bytes.maketrans(b":,", _COLON_PLACEHOLDER + _COMMA_PLACEHOLDER)


class UserSeriesEncoder:
    """Writes portions of a family; ``created`` is when its counters began, where that is to be told."""

    def __init__(self, family: Family, rows: UserSeries, created: float | None) -> None:
        self._family = family
        self._user_index = rows.user_index
        self._created = created
        self._username_labels = rows.username_labels
        self._escaped_names = _EscapedNames(rows.username_labels)

    def encode_blocks(self, groups: Iterable[SeriesGroup]) -> Iterator[bytes]:
        """Yield the series of portions, many in a block, encoded."""
        encoded: list[bytes] = []
        rows = 0
        for group in groups:
            affixes = self._label_prefix_suffix(group.labels)
            for users in _chunks(group.values_by_user()):
                encoded.append(self._encode_group(group, affixes, users))
                rows += len(users)
                if rows >= BLOCK_ROWS:
                    yield b"".join(encoded)
                    encoded, rows = [], 0
        if encoded:
            yield b"".join(encoded)

    def _label_prefix_suffix(self, values: tuple[str, ...]) -> tuple[str, str]:
        """Return what stands before and behind a user between the braces, quotes included."""
        pairs = sorted(zip(self._family.labels, values, range(len(values)), strict=True))
        parts = [
            f'{label}="{"" if position == self._user_index else escape_label_value(value)}"'
            for label, value, position in pairs
        ]
        user_position = next(
            index for index, (*_, position) in enumerate(pairs) if position == self._user_index
        )
        return ",".join(parts[: user_position + 1])[:-1], ",".join(['"', *parts[user_position + 1 :]]) + "}"

    def _encode_group(
        self, group: SeriesGroup, affixes: tuple[str, str], users: Mapping[str, float]
    ) -> bytes:
        as_json = group.min_max is not None and json_compatible(*group.min_max)
        encoded = None
        if as_json and group.has_unique_names and self._created is None:
            values_by_name = (
                users
                if group.names_unchanged
                else {self._username_labels[user] or "": users[user] for user in users}
            )
            encoded = self._format_rows_with_json(affixes, values_by_name)
        if encoded is None:
            values = list(users.values())
            encoded = self._format_rows(
                affixes, users, json_floats(values) if as_json else format_floats(values)
            )
        return encoded

    def _format_rows_with_json(
        self, affixes: tuple[str, str], values_by_name: Mapping[str, float]
    ) -> bytes | None:
        """Return a row for each user, made of what JSON's writer makes of all: ``"ada":1.5,"bo":2.5``.

        What stands between a name and its number, and between a row and the next, takes the place of colons
        and commas. Return None where a name has one of these, or what JSON writes in its own way.
        """
        prefix, suffix = affixes
        # The quotes are there already.
        line_prefix, separator = f"{self._family.name}{{{prefix[:-1]}".encode(), f"{suffix[1:]} ".encode()
        text = msgspec.json.encode(values_by_name)[1:-1].translate(_TO_PLACEHOLDERS)
        rows = text.replace(_COLON_PLACEHOLDER, separator).split(_COMMA_PLACEHOLDER)
        if (
            len(rows) != len(values_by_name)
            or text.count(_COLON_PLACEHOLDER) != len(values_by_name)
            or b"\\" in text
        ):
            return None
        return b"".join((line_prefix, (b"\n" + line_prefix).join(rows), b"\n"))

    def _format_rows(self, affixes: tuple[str, str], users: Iterable[str], numbers: Iterable[str]) -> bytes:
        """Return a row for each user; what all begin with is joined in, which is quicker."""
        prefix, suffix = affixes
        names, line_prefix = self._escaped_names, f"{self._family.name}{{{prefix}"
        rows = zip(users, numbers, strict=True)
        if self._created is None:
            lines = [f"{names[user]}{suffix} {number}\n" for user, number in rows]
        else:
            created_prefix, created_suffix = (
                f"{self._family.base_name}_created{{{prefix}",
                f"{suffix} {format_float(self._created)}\n",
            )
            lines = [
                f"{(name := names[user])}{suffix} {number}\n{created_prefix}{name}{created_suffix}"
                for user, number in rows
            ]
        return (line_prefix + line_prefix.join(lines)).encode()


def _chunks(rows: Mapping[str, float]) -> Iterator[Mapping[str, float]]:
    """Yield all rows, as many at a time as a block has."""
    if 0 < len(rows) <= BLOCK_ROWS:
        yield rows
        return
    remaining = iter(rows.items())
    while block := dict(islice(remaining, BLOCK_ROWS)):
        yield block


class _EscapedNames(dict[str, str]):
    """Users' names as they stand between quotes, each escaped once."""

    def __init__(self, users: Mapping[str, str | None]) -> None:
        super().__init__()
        self._username_labels = users

    def __missing__(self, user: str) -> str:
        self[user] = text = escape_label_value(self._username_labels[user] or "")
        return text
