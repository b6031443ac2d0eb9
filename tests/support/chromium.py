"""The path of Chromium for tests of pages."""

from __future__ import annotations

import shutil
from typing import Final

__all__ = ["CHROMIUM"]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
"""Path of the program; None if it is not installed."""
