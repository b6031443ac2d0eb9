"""Users as they are shown, which is how they are counted and written to disk."""

from __future__ import annotations

from insights_exporter.filters import Filters
from insights_exporter.privacy import UsernamePolicy

__all__ = ["PseudonymMap"]


class PseudonymMap:
    """Knows what stands for each user, and for whom it stands."""

    def __init__(self, username_policy: UsernamePolicy, filters: Filters) -> None:
        self.username_policy = username_policy
        self._filters = filters
        self._display_names: dict[str, str | None] = {}
        self._usernames: dict[str, str] = {}

    def display_name(self, username: str) -> str | None:
        """Return what stands for a user; None where this user is left out."""
        try:
            return self._display_names[username]
        except KeyError:
            display_name = (
                self.username_policy.pseudonymize(username) if self._filters.allows_user(username) else None
            )
            self._display_names[username] = display_name
            if display_name is not None:
                self._usernames[display_name] = username
            return display_name

    def username(self, display_name: str) -> str | None:
        """Return the user for whom something stands; None where nobody by that name was met yet.

        A name that was only read from disk and was hashed there says nothing by itself.
        """
        username = self._usernames.get(display_name)
        if username is None and self.username_policy.shows_names and self._filters.allows_user(display_name):
            return display_name
        return username
