"""Rows of many users as text; all that a portion's rows have in common is made once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec

from insights_exporter.metrics.family import Family
from insights_exporter.metrics.notation import BLOCK_ROWS, easy_texts, escaped, is_easy, texts, written
from insights_exporter.metrics.portions import Portion, Portions

__all__ = ["PortionText"]

# No label value has these: they stand in for colons and commas, which label values and labels do have.
_COLON: Final = b"\1"
_COMMA: Final = b"\2"
_MARKS: Final = bytes.maketrans(b":,", _COLON + _COMMA)


class PortionText:
    """Writes portions of a family; ``created`` is when its counters began, where that is to be told."""

    def __init__(self, family: Family, rows: Portions, created: float | None) -> None:
        self._family = family
        self._place = rows.place
        self._created = created
        self._users = rows.users
        self._shown = _Shown(rows.users)

    def blocks(self, portions: Iterable[Portion]) -> Iterator[bytes]:
        """Yield the series of portions, many in a block, encoded."""
        written: list[bytes] = []
        rows = 0
        for portion in portions:
            around = self._around(portion.labels)
            for users in _some(portion.rows()):
                written.append(self._rows(portion, around, users))
                rows += len(users)
                if rows >= BLOCK_ROWS:
                    yield b"".join(written)
                    written, rows = [], 0
        if written:
            yield b"".join(written)

    def _around(self, values: tuple[str, ...]) -> tuple[str, str]:
        """Return what stands before and behind a user between the braces, quotes included."""
        pairs = sorted(zip(self._family.labels, values, range(len(values)), strict=True))
        parts = [
            f'{label}="{"" if place == self._place else escaped(value)}"' for label, value, place in pairs
        ]
        at = next(index for index, (*_, place) in enumerate(pairs) if place == self._place)
        return ",".join(parts[: at + 1])[:-1], ",".join(['"', *parts[at + 1 :]]) + "}"

    def _rows(self, portion: Portion, around: tuple[str, str], users: Mapping[str, float]) -> bytes:
        easy = portion.span is not None and is_easy(*portion.span)
        found = None
        if easy and portion.distinct and self._created is None:
            shown = users if portion.named else {self._users[user] or "": users[user] for user in users}
            found = self._from_json(around, shown)
        if found is None:
            numbers = list(users.values())
            found = self._one_by_one(around, users, easy_texts(numbers) if easy else texts(numbers))
        return found

    def _from_json(self, around: tuple[str, str], users: Mapping[str, float]) -> bytes | None:
        """Return a row for each user, made of what JSON's writer makes of all: ``"ada":1.5,"bo":2.5``.

        What stands between a name and its number, and between a row and the next, takes the place of colons
        and commas. Return None where a name has one of these, or what JSON writes in its own way.
        """
        before, after = around
        # The quotes are there already.
        head, middle = f"{self._family.name}{{{before[:-1]}".encode(), f"{after[1:]} ".encode()
        text = msgspec.json.encode(users)[1:-1].translate(_MARKS)
        rows = text.replace(_COLON, middle).split(_COMMA)
        if len(rows) != len(users) or text.count(_COLON) != len(users) or b"\\" in text:
            return None
        return b"".join((head, (b"\n" + head).join(rows), b"\n"))

    def _one_by_one(self, around: tuple[str, str], users: Iterable[str], numbers: Iterable[str]) -> bytes:
        """Return a row for each user; what all begin with is joined in, which is quicker."""
        before, after = around
        shown, head = self._shown, f"{self._family.name}{{{before}"
        rows = zip(users, numbers, strict=True)
        if self._created is None:
            lines = [f"{shown[user]}{after} {number}\n" for user, number in rows]
        else:
            again, end = f"{self._family.stem}_created{{{before}", f"{after} {written(self._created)}\n"
            lines = [f"{(name := shown[user])}{after} {number}\n{again}{name}{end}" for user, number in rows]
        return (head + head.join(lines)).encode()


def _some(rows: Mapping[str, float]) -> Iterator[Mapping[str, float]]:
    """Yield all rows, as many at a time as a block has."""
    if 0 < len(rows) <= BLOCK_ROWS:
        yield rows
        return
    left = iter(rows.items())
    while block := dict(islice(left, BLOCK_ROWS)):
        yield block


class _Shown(dict[str, str]):
    """Users' names as they stand between quotes, each escaped once."""

    def __init__(self, users: Mapping[str, str | None]) -> None:
        super().__init__()
        self._users = users

    def __missing__(self, user: str) -> str:
        self[user] = text = escaped(self._users[user] or "")
        return text
