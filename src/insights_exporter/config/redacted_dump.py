"""Settings as text that may be shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import Enum
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from insights_exporter.config.kind import SecretText
from insights_exporter.config.settings import Settings, UsernameMode
from insights_exporter.config.spec import Key, keys
from insights_exporter.secrets import EnvironmentSecret, FileSecret

__all__ = ["redacted_dump"]


def redacted_dump(settings: Settings) -> str:
    """Return everything that holds as YAML that could be loaded but for its secrets."""
    tree: dict[str, Any] = {}
    for path, _, key in keys():
        *sections, name = path.split(".")
        part = tree
        for section in sections:
            part = part.setdefault(section, {})
        value: Any = reduce(getattr, path.split("."), settings)
        if path.startswith("filters.users.") and settings.privacy.users is not UsernameMode.NAMED:
            value = ["***"] * len(value)
        part.update(_dump_key(name, key, value))
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)


def _dump_key(name: str, key: Key, value: Any) -> dict[str, Any]:
    if value is None or not isinstance(key.kind, SecretText):
        return {name: _to_yaml_value(value)}
    if isinstance(value, FileSecret):
        return {f"{name}_file": str(value.path)}
    if isinstance(value, EnvironmentSecret):
        return {f"{name}_env": value.name}
    return {name: "***"}


def _to_yaml_value(value: Any) -> Any:
    if isinstance(value, Enum | Path):
        return str(value)
    if isinstance(value, tuple):
        return [_to_yaml_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _to_yaml_value(item) for name, item in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    return value
