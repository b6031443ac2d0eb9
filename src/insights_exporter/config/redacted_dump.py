"""Dump of the effective configuration without secrets, for ``/config`` and bug reports."""

from __future__ import annotations

from functools import reduce
from typing import Any

import yaml

from insights_exporter.config.schema import keys
from insights_exporter.config.settings import Settings
from insights_exporter.secrets import MASK, EnvironmentSecret, FileSecret

__all__ = ["redacted_dump"]


def redacted_dump(settings: Settings) -> str:
    """Return all settings as YAML, which loads again apart from its literal secrets.

    The mask replaces literal secrets, and usernames in filters unless ``privacy.users`` is ``named``.
    """
    tree: dict[str, Any] = settings.model_dump(mode="json")
    for key in keys():
        *sections, name = key.path.split(".")
        section = reduce(dict.__getitem__, sections, tree)
        value: Any = reduce(getattr, key.path.split("."), settings)
        if key.path.startswith("filters.users.") and not settings.privacy.shows_usernames:
            section[name] = [MASK] * len(value)
        elif isinstance(value, FileSecret):
            _rename(section, name, f"{name}_file", str(value.path))
        elif isinstance(value, EnvironmentSecret):
            _rename(section, name, f"{name}_env", value.name)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)


def _rename(section: dict[str, Any], name: str, new_name: str, value: str) -> None:
    """Replace a key and its value, and keep the order of keys."""
    items = [(new_name, value) if key == name else (key, old) for key, old in section.items()]
    section.clear()
    section.update(items)
