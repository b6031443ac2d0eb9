"""Secrets in settings: a dump without them, and files that hold them and are readable by every user.

A token, key or password file should be readable by the exporter only. The log of ``run`` and the findings of
``check`` use the same rule.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from insights_exporter.config.schema import keys
from insights_exporter.config.settings import Settings
from insights_exporter.secrets import MASK, EnvironmentSecret, FileSecret

__all__ = ["exposed_secret_files", "is_world_readable", "redacted_dump"]


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


_KEY_FILES = ("coder.key_file", "server.web_config_file")
"""Keys of files with a private key or password hashes, which are not secrets themselves."""


def exposed_secret_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the key and the path of each secret's file that every user of the machine can read."""
    for key in keys():
        value: Any = reduce(getattr, key.path.split("."), settings)
        if isinstance(value, FileSecret) and is_world_readable(value.path):
            yield f"{key.path}_file", value.path
        elif key.path in _KEY_FILES and value is not None and is_world_readable(value):
            yield key.path, value


def is_world_readable(path: Path) -> bool:
    """Return whether the modes of the file and of all its folders let every user read it."""
    try:
        resolved = path.resolve(strict=True)
        folders = all(folder.stat().st_mode & stat.S_IXOTH for folder in resolved.parents)
        return folders and bool(resolved.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
