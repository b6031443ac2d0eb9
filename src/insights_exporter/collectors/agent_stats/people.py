"""Users as they are shown, which is how they are counted and written to disk."""

from __future__ import annotations

from insights_exporter.filters import Filters
from insights_exporter.redaction import Redaction

__all__ = ["People"]


class People:
    """Knows what stands for each user, and for whom it stands."""

    def __init__(self, redaction: Redaction, filters: Filters) -> None:
        self.redaction = redaction
        self._filters = filters
        self._shown: dict[str, str | None] = {}
        self._names: dict[str, str] = {}

    def shown(self, username: str) -> str | None:
        """Return what stands for a user; None where this user is left out."""
        try:
            return self._shown[username]
        except KeyError:
            shown = self.redaction.name(username) if self._filters.admits_user(username) else None
            self._shown[username] = shown
            if shown is not None:
                self._names[shown] = username
            return shown

    def name(self, shown: str) -> str | None:
        """Return the user for whom something stands; None where nobody by that name was met yet.

        A name that was only read from disk and was hashed there says nothing by itself.
        """
        found = self._names.get(shown)
        if found is None and self.redaction.named and self._filters.admits_user(shown):
            return shown
        return found
