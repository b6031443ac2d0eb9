"""Label values as they are served: redacted, free of what an exposition cannot carry, and cut."""

from __future__ import annotations

import re
from collections.abc import Callable

from insights_exporter.metrics.family import Family
from insights_exporter.metrics.portions import Derived
from insights_exporter.redaction import Redaction
from insights_exporter.snapshot import TemplateKey

__all__ = ["LabelValues"]

# Newlines are escaped by every exposition; other control characters and lone surrogates have no place in one.
_UNCLEAN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class LabelValues:
    """Turns raw values into served ones, each once, and knows the labels whose values came to be equal.

    ``derived`` remembers from one publication to the next what came of parts that are still the same.
    """

    def __init__(
        self,
        redaction: Redaction,
        *,
        length: int,
        derived: Derived | None = None,
    ) -> None:
        self.derived = derived if derived is not None else Derived()
        self._length = length
        self._by_label: dict[str, _Served] = {}
        self.redaction = redaction
        self.users = _Users(self["username"], redaction)

    def __getitem__(self, label: str) -> _Served:
        """Return the values of a label, by raw value."""
        if label not in self._by_label:
            self._by_label[label] = _Served(self._clean)
        return self._by_label[label]

    def template(self, key: TemplateKey) -> tuple[str, str]:
        """Return the two values that name a template."""
        return self["organization_name"][key.organization_name], self["template_name"][key.template_name]

    def may_add(self, family: Family) -> bool:
        """Tell whether series of a family that came to be equal may be added up.

        They may where a sum over each label that has equal values by now means something.
        """
        ambiguous = {label for label, served in self._by_label.items() if served.ambiguous}
        return bool(family.summable) and ambiguous & set(family.labels) <= family.summable

    def _clean(self, raw: str) -> str:
        if len(raw) <= self._length and raw.isprintable():
            return raw
        return _UNCLEAN.sub(_REPLACEMENT, raw[: self._length])


class _Served(dict[str, str]):
    """The served values of one label by raw value."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean
        self._changed: set[str] = set()
        self.ambiguous = False

    def __missing__(self, raw: str) -> str:
        text = self._clean(raw)
        # Nearly all values stay as they are, so only the others are remembered twice.
        if text in self._changed or (text != raw and text in self):
            self.ambiguous = True
        if text != raw:
            self._changed.add(text)
        self[raw] = text
        return text


class _Users(dict[str, str | None]):
    """The served names of users by username; None for all where users are left out."""

    def __init__(self, names: _Served, redaction: Redaction) -> None:
        super().__init__()
        self._names = names
        self._redaction = redaction

    def __missing__(self, username: str) -> str | None:
        shown = self._redaction.name(username)
        self[username] = text = None if shown is None else self._names[shown]
        return text
