"""Usernames by user id. A username can change, and two accounts can have the same one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from sys import intern

__all__ = ["ResolvedUsernames", "UsernameIndex"]


class UsernameIndex:
    """The newest known username of each user id; an id without a username stands for itself.

    ``version`` is a new object after each change of a username that may have been resolved before.
    """

    def __init__(self) -> None:
        self._username_by_id: dict[str, str] = {}
        self._unresolved: set[str] = set()
        self.version = object()

    def username(self, user_id: str) -> str:
        """Return the username, or the id itself."""
        username = self._username_by_id.get(user_id)
        if username:
            return username
        self._unresolved.add(user_id)
        return user_id

    def matches(self, user_ids: Iterable[str], usernames: list[str]) -> bool:
        """Return whether each id has the username at its position."""
        return list(map(self._username_by_id.get, user_ids)) == usernames

    def update(self, usernames: Mapping[str, str]) -> None:
        """Take usernames by id."""
        known = self._username_by_id
        # Usually all are known, and each username stays the same object.
        if usernames.items() <= known.items():
            return
        changed = {user_id for user_id in usernames if known.get(user_id, "") != usernames[user_id]}
        is_rename = any(user_id in known or user_id in self._unresolved for user_id in changed)
        known.update({user_id: intern(usernames[user_id]) for user_id in changed})
        if is_rename:
            self._unresolved -= changed
            self.version = object()


@dataclass(slots=True)
class ResolvedUsernames:
    """The cached usernames of the ids of one mapping, which only grows at its end."""

    _usernames: list[str] = field(default_factory=list)
    _version: object = None

    def resolve(self, user_ids: Collection[str], index: UsernameIndex) -> list[str]:
        """Return the username of each id, in the order of the ids."""
        if self._version is not index.version:
            self._usernames, self._version = [], index.version
        if len(self._usernames) < len(user_ids):
            self._usernames += map(index.username, islice(user_ids, len(self._usernames), None))
        return self._usernames
