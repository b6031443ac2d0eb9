"""Privacy rules: filters of templates and users, usernames, and visible parameter values."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from insights_exporter.config.settings import FilterSettings, NameFilter, PrivacySettings, UsernameMode
from insights_exporter.snapshot import ParameterUsage, TemplateKey

__all__ = [
    "BOOL_VALUES",
    "Filters",
    "UsernamePolicy",
    "load_username_policy",
    "parameter_value_filter",
]

_HASH_LENGTH = 16
BOOL_VALUES = ("true", "false")
"""The two values of a parameter of type bool."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Allow and deny lists of names; totals that Coder computes itself are never filtered."""

    settings: FilterSettings = field(default_factory=FilterSettings)

    def allows_template(self, key: TemplateKey) -> bool:
        """Return whether the template is exported: both its organization and its name must be allowed."""
        if not self.allows_organization(key.organization_name):
            return False
        return _is_allowed(self.settings.templates, key.template_name, key.organization_name)

    def allows_organization(self, name: str) -> bool:
        """Return whether the organization is exported."""
        return _is_allowed(self.settings.organizations, name)

    def allows_user(self, username: str) -> bool:
        """Return whether the user is exported."""
        return _is_allowed(self.settings.users, username)

    @property
    def allows_all_users(self) -> bool:
        """Whether every user is exported."""
        return not self.settings.users.allow and not self.settings.users.deny


def _is_allowed(name_filter: NameFilter, name: str, organization: str = "") -> bool:
    if _matches(name_filter.deny, name, organization):
        return False
    return not name_filter.allow or _matches(name_filter.allow, name, organization)


def _matches(patterns: tuple[str, ...], name: str, organization: str) -> bool:
    """Return whether any pattern matches; one with a slash matches ``organization/name``."""
    qualified_name = f"{organization}/{name}"
    return any(fnmatchcase(qualified_name if "/" in pattern else name, pattern) for pattern in patterns)


class UsernamePolicy:
    """Replaces usernames according to ``privacy.users``.

    Hashes are keyed (HMAC-SHA256), because usernames can be guessed; replicas with the same key export the
    same hashes. Raises ValueError for mode ``hashed`` without a key.
    """

    def __init__(self, mode: UsernameMode, key: bytes = b"") -> None:
        if mode is UsernameMode.HASHED and not key:
            raise ValueError("privacy.hash_key: expected a key for hashed usernames, got none")
        self._mode = mode
        self._key = key

    @property
    def shows_names(self) -> bool:
        """Whether users can be recognised; display names, avatars and ids are exported only then."""
        return self._mode is UsernameMode.NAMED

    @property
    def hides_users(self) -> bool:
        """Whether users do not appear at all."""
        return self._mode is UsernameMode.OFF

    def pseudonymize(self, username: str) -> str | None:
        """Return the username, its hash, or None if users are hidden."""
        if self._mode is UsernameMode.NAMED:
            return username
        if self._mode is UsernameMode.OFF:
            return None
        # JSON may contain a lone surrogate, which strict UTF-8 cannot encode.
        digest = hmac.digest(self._key, username.encode(errors="surrogatepass"), "sha256")
        return f"user-{digest.hex()[:_HASH_LENGTH]}"


def load_username_policy(privacy: PrivacySettings) -> UsernamePolicy:
    """Return the policy of the settings; raise SecretError if the hash key cannot be read."""
    key = b"" if privacy.hash_key is None else privacy.hash_key.read().reveal().encode()
    return UsernamePolicy(privacy.users, key)


def parameter_value_filter(usage: ParameterUsage, *, show_free_text: bool) -> Callable[[str], bool]:
    """Return the predicate that says which values of a parameter may be shown.

    With ``show_free_text`` (setting ``privacy.parameter_free_text``) that is every value, otherwise only
    values that the template declares: a user may have typed anything into the others.
    """
    if show_free_text:
        return lambda _: True
    options = frozenset(option.value for option in usage.options)
    return lambda value: _is_declared(value, usage.type, options)


def _is_declared(value: str, parameter_type: str, options: frozenset[str]) -> bool:
    """Return whether the template declares the value.

    Declared are its options, every subset of the options of a multi-select, booleans, and the empty value,
    which carries no information.
    """
    if not value or value in options or (parameter_type == "bool" and value in BOOL_VALUES):
        return True
    return bool(options) and parameter_type == "list(string)" and _parse_multi_select(value) <= options


def _parse_multi_select(value: str) -> frozenset[str]:
    """Return the elements of a JSON list of strings; any other text is its own only element."""
    try:
        chosen = json.loads(value)
    except (ValueError, RecursionError):
        return frozenset((value,))
    if isinstance(chosen, list) and all(isinstance(choice, str) for choice in chosen):
        return frozenset(chosen)
    return frozenset((value,))
