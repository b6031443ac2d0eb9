"""What is exported at all, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from insights_exporter.settings import FilterSettings, NameFilter
from insights_exporter.snapshot import TemplateKey

__all__ = ["Filters"]


@dataclass(frozen=True, slots=True)
class Filters:
    """Answers whether something is exported; numbers that Coder itself adds up are not touched by it."""

    settings: FilterSettings = field(default_factory=FilterSettings)

    def admits_template(self, key: TemplateKey) -> bool:
        """Say whether a template is exported: its organization and itself must be admitted."""
        if not _admits(self.settings.organizations, key.organization_name):
            return False
        return _admits(self.settings.templates, key.template_name, key.organization_name)

    def admits_user(self, username: str) -> bool:
        """Say whether a user is exported."""
        return _admits(self.settings.users, username)

    @property
    def admits_all_users(self) -> bool:
        """Say whether no user is left out."""
        return not self.settings.users.allow and not self.settings.users.deny


def _admits(names: NameFilter, name: str, organization: str = "") -> bool:
    if _matches(names.deny, name, organization):
        return False
    return not names.allow or _matches(names.allow, name, organization)


def _matches(patterns: tuple[str, ...], name: str, organization: str) -> bool:
    """Say whether a pattern fits; one without a slash is about the name alone."""
    full = f"{organization}/{name}"
    return any(fnmatchcase(full if "/" in pattern else name, pattern) for pattern in patterns)
