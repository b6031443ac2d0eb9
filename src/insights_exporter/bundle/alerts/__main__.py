"""Writes the alerts with a site's choices, or tells whether they are there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from insights_exporter.bundle.alerts.options import add_options, site_of
from insights_exporter.bundle.alerts.writing import files
from insights_exporter.errors import ConfigError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Write all files, or with ``--check`` return 1 if one of them is not as it would be written."""
    parser = argparse.ArgumentParser(prog="python -m insights_exporter.bundle.alerts", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("alerts"))
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        site = site_of(options)
    except ConfigError as error:
        parser.error(str(error))
    made = {options.folder / path: text for path, text in files(site).items()}
    return _compare(options.folder, made) if options.check else _write(made)


def _stale(made: dict[Path, str]) -> list[Path]:
    return [path for path, text in made.items() if not path.is_file() or path.read_text("utf-8") != text]


def _write(made: dict[Path, str]) -> int:
    for path in _stale(made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
        sys.stdout.write(f"written: {path}\n")
    return 0


def _compare(folder: Path, made: dict[Path, str]) -> int:
    # A runbook whose alert is gone would stay for ever.
    left = sorted(path for path in folder.rglob("*") if path.is_file() and path not in made)
    stale = _stale(made)
    sys.stdout.writelines(f"stale: {path}\n" for path in stale)
    sys.stdout.writelines(f"left over: {path}\n" for path in left)
    return 1 if stale or left else 0


if __name__ == "__main__":
    sys.exit(main())
