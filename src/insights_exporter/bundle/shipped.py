"""Where the files are that ship beside the code: in the tree, or in an installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["resource_folder"]

_PACKAGE_FOLDER: Final = Path(__file__).parents[1]
_REPOSITORY_FOLDER: Final = _PACKAGE_FOLDER.parents[1]


def resource_folder(folder: str) -> Path:
    """Return the folder of that name, such as ``dashboards`` or ``alerts``.

    A wheel carries the folders inside of the package; in the tree they stand at its top.
    """
    packaged = _PACKAGE_FOLDER / "shipped" / folder
    return packaged if packaged.is_dir() else _REPOSITORY_FOLDER / folder
