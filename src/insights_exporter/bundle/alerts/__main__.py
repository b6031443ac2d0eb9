"""Writes the alerts into the tree, or tells whether they are there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.writing import files

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Write all files, or with ``--check`` return 1 if one of them is not as it would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("alerts"))
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args(arguments)
    made = {options.folder / path: text for path, text in files(Site()).items()}
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text("utf-8") != text]
    # A runbook whose alert is gone would never be found again.
    gone = sorted(set(options.folder.rglob("*.*")) - set(made))
    for path in () if options.check else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{'stale' if options.check else 'written'}: {path}\n")
    for path in gone:
        sys.stdout.write(f"not made by this: {path}\n")
    return 1 if gone or (stale and options.check) else 0


if __name__ == "__main__":
    sys.exit(main())
