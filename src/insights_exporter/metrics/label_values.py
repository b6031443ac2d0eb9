"""Label values as served: pseudonymized, without control characters, cut to a maximum length."""

from __future__ import annotations

import re
from collections.abc import Callable

from insights_exporter.metrics.derivation_cache import DerivationCache
from insights_exporter.metrics.family import Family
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import TemplateKey

__all__ = ["LabelValues"]

# Both formats escape newlines; other control characters and lone surrogates are not allowed in them.
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class LabelValues:
    """Maps raw to served label values, each once, and knows labels with collisions.

    ``derivations`` caches values of unchanged parts from snapshot to snapshot.
    """

    def __init__(
        self,
        username_policy: UsernamePolicy,
        *,
        max_length: int,
        derivations: DerivationCache | None = None,
    ) -> None:
        self.derivations = derivations if derivations is not None else DerivationCache()
        self._max_length = max_length
        self._by_label: dict[str, _CleanValues] = {}
        self.username_policy = username_policy
        self.username_labels = _UsernameLabels(self["username"], username_policy)

    def __getitem__(self, label: str) -> _CleanValues:
        """Return the served values of a label by raw value."""
        if label not in self._by_label:
            self._by_label[label] = _CleanValues(self._clean)
        return self._by_label[label]

    def template(self, key: TemplateKey) -> tuple[str, str]:
        """Return the values of the template labels."""
        return self["organization_name"][key.organization_name], self["template_name"][key.template_name]

    def may_merge(self, family: Family) -> bool:
        """Return whether series with equal label sets may be summed.

        True if the family can be summed over every label with a collision so far.
        """
        colliding_labels = {
            label for label, clean_values in self._by_label.items() if clean_values.has_collisions
        }
        return bool(family.summable) and colliding_labels & set(family.labels) <= family.summable

    def _clean(self, raw: str) -> str:
        if len(raw) <= self._max_length and raw.isprintable():
            return raw
        return _FORBIDDEN_CHARACTERS.sub(_REPLACEMENT, raw[: self._max_length])


class _CleanValues(dict[str, str]):
    """Served values of one label by raw value."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean
        self._modified_values: set[str] = set()
        self.has_collisions = False

    def __missing__(self, raw: str) -> str:
        text = self._clean(raw)
        # Nearly all values are unchanged, so only changed ones are stored twice.
        if text in self._modified_values or (text != raw and text in self):
            self.has_collisions = True
        if text != raw:
            self._modified_values.add(text)
        self[raw] = text
        return text


class _UsernameLabels(dict[str, str | None]):
    """Served usernames by username; None for all if users are hidden."""

    def __init__(self, clean_usernames: _CleanValues, username_policy: UsernamePolicy) -> None:
        super().__init__()
        self._clean_usernames = clean_usernames
        self._username_policy = username_policy

    def __missing__(self, username: str) -> str | None:
        display_name = self._username_policy.pseudonymize(username)
        self[username] = text = None if display_name is None else self._clean_usernames[display_name]
        return text
