"""Runs of promtool."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["promtool_accepts", "promtool_test_passes"]


def promtool_test_passes(folder: Path, document: Mapping[str, Any]) -> bool:
    """Return whether promtool's unit tests pass; print their output."""
    file = folder / "test.yml"
    # JSON is valid YAML, and is written much faster.
    file.write_text(json.dumps(document))
    return promtool_accepts("test", "rules", str(file))


def promtool_accepts(*arguments: str) -> bool:
    """Return whether a command of promtool succeeds; print its output."""
    result = subprocess.run(["promtool", *arguments], check=False, capture_output=True, text=True)
    sys.stdout.write(result.stdout + result.stderr)
    return result.returncode == 0
