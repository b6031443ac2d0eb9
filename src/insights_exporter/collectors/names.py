"""What users go by, while ids stay: names change, and several accounts may share one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from sys import intern

__all__ = ["Names", "Roll"]


class Names:
    """What user ids go by; one that nobody has named goes by itself.

    ``edition`` is another object whenever some id goes by another name than before.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}
        self.edition = object()

    def of(self, identity: str) -> str:
        """Return what an id goes by."""
        return self._by_id.get(identity) or identity

    def agree(self, ids: Iterable[str], told: list[str]) -> bool:
        """Say whether these ids are known by just these names."""
        return list(map(self._by_id.get, ids)) == told

    def learn(self, told: Mapping[str, str]) -> None:
        """Take names by id."""
        # Nearly always they are known, and then each name stays the same object.
        if not told.items() <= self._by_id.items():
            self._by_id.update({identity: intern(name) for identity, name in told.items()})
            self.edition = object()


@dataclass(slots=True)
class Roll:
    """The names of the ids of one mapping, looked up once; such a mapping only ever grows, at its end."""

    _names: list[str] = field(default_factory=list)
    _edition: object = None

    def call(self, ids: Collection[str], names: Names) -> list[str]:
        """Return the name of each id, in their order."""
        if self._edition is not names.edition:
            self._names, self._edition = [], names.edition
        if len(self._names) < len(ids):
            self._names += map(names.of, islice(ids, len(self._names), None))
        return self._names
