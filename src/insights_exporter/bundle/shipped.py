"""Where the files are that ship beside the code: in the tree, or in an installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["shipped"]

_PACKAGE: Final = Path(__file__).parents[1]
_TREE: Final = _PACKAGE.parents[1]


def shipped(folder: str) -> Path:
    """Return the folder of that name, such as ``dashboards`` or ``alerts``.

    A wheel carries the folders inside of the package; in the tree they stand at its top.
    """
    installed = _PACKAGE / "shipped" / folder
    return installed if installed.is_dir() else _TREE / folder
