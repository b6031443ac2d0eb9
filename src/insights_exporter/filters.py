"""What is exported at all, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from insights_exporter.config.settings import FilterSettings, NameFilter
from insights_exporter.snapshot import TemplateKey

__all__ = ["Filters"]


@dataclass(frozen=True, slots=True)
class Filters:
    """Answers whether something is exported; numbers that Coder itself adds up are not touched by it."""

    settings: FilterSettings = field(default_factory=FilterSettings)

    def allows_template(self, key: TemplateKey) -> bool:
        """Say whether a template is exported: its organization and itself must be admitted."""
        if not _is_allowed(self.settings.organizations, key.organization_name):
            return False
        return _is_allowed(self.settings.templates, key.template_name, key.organization_name)

    def allows_user(self, username: str) -> bool:
        """Say whether a user is exported."""
        return _is_allowed(self.settings.users, username)

    @property
    def allows_all_users(self) -> bool:
        """Say whether no user is left out."""
        return not self.settings.users.allow and not self.settings.users.deny


def _is_allowed(name_filter: NameFilter, name: str, organization: str = "") -> bool:
    if _matches(name_filter.deny, name, organization):
        return False
    return not name_filter.allow or _matches(name_filter.allow, name, organization)


def _matches(patterns: tuple[str, ...], name: str, organization: str) -> bool:
    """Say whether a pattern fits; one without a slash is about the name alone."""
    qualified_name = f"{organization}/{name}"
    return any(fnmatchcase(qualified_name if "/" in pattern else name, pattern) for pattern in patterns)
