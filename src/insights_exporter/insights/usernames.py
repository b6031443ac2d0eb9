"""What users go by, while ids stay: names change, and several accounts may share one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from sys import intern

__all__ = ["ResolvedUsernames", "UsernameIndex"]


class UsernameIndex:
    """What user ids go by; one that nobody has named goes by itself.

    ``edition`` is another object whenever some id goes by another name than before.
    """

    def __init__(self) -> None:
        self._username_by_id: dict[str, str] = {}
        self.version = object()

    def username(self, user_id: str) -> str:
        """Return what an id goes by."""
        return self._username_by_id.get(user_id) or user_id

    def matches(self, user_ids: Iterable[str], usernames: list[str]) -> bool:
        """Say whether these ids are known by just these names."""
        return list(map(self._username_by_id.get, user_ids)) == usernames

    def update(self, usernames: Mapping[str, str]) -> None:
        """Take names by id."""
        # Nearly always they are known, and then each name stays the same object.
        if not usernames.items() <= self._username_by_id.items():
            self._username_by_id.update(
                {user_id: intern(username) for user_id, username in usernames.items()}
            )
            self.version = object()


@dataclass(slots=True)
class ResolvedUsernames:
    """The names of the ids of one mapping, looked up once; such a mapping only ever grows, at its end."""

    _usernames: list[str] = field(default_factory=list)
    _version: object = None

    def resolve(self, user_ids: Collection[str], index: UsernameIndex) -> list[str]:
        """Return the name of each id, in their order."""
        if self._version is not index.version:
            self._usernames, self._version = [], index.version
        if len(self._usernames) < len(user_ids):
            self._usernames += map(index.username, islice(user_ids, len(self._usernames), None))
        return self._usernames
