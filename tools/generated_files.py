"""Generated files: write those that are stale, or compare them with the committed ones."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

__all__ = ["orphaned_files", "stale_files", "write_or_check"]


def write_or_check(
    files: Mapping[Path, str], *, check: bool, folder: Path | None = None, keep: Collection[str] = ()
) -> int:
    """Write stale files and delete orphaned ones; with ``check``, only list them.

    ``files`` holds the generated texts. In ``folder``, all other files are orphaned, except those with a name
    in ``keep``. Returns 1 if ``check`` is set and a file is stale or orphaned, else 0.
    """
    stale = stale_files(files)
    orphaned = list(orphaned_files(files, folder, keep)) if folder is not None else []
    if check:
        sys.stdout.writelines(f"stale: {path}\n" for path in stale)
        sys.stdout.writelines(f"orphaned: {path}\n" for path in orphaned)
        return 1 if stale or orphaned else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
        sys.stdout.write(f"written: {path}\n")
    for path in orphaned:
        path.unlink()
        sys.stdout.write(f"deleted: {path}\n")
    return 0


def stale_files(files: Mapping[Path, str]) -> list[Path]:
    """Return the files that are missing or have another text."""
    return [
        path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def orphaned_files(files: Mapping[Path, str], folder: Path, keep: Collection[str] = ()) -> Iterator[Path]:
    """Yield the files of a folder that are neither generated nor kept, in the order of their paths."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in files and path.name not in keep and "__pycache__" not in path.parts:
            yield path
