"""Permissions of files with secrets: a token, key or password file should be readable by the exporter only.

Two users share this module: the log of ``run`` and the findings of ``check``.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

from insights_exporter.config.schema import keys
from insights_exporter.config.settings import Settings
from insights_exporter.secrets import FileSecret

__all__ = ["exposed_secret_files", "is_world_readable"]

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
