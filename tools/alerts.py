"""Writes the alerts with a site's choices, or tells whether they are there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from insights_exporter.bundle.alerts.options import add_arguments, install_options_from_args
from insights_exporter.bundle.alerts.writing import alert_files
from insights_exporter.errors import ConfigError

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Write all files, or with ``--check`` return 1 if one of them is not as it would be written."""
    parser = argparse.ArgumentParser(prog="python -m tools.alerts", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("alerts"))
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        install = install_options_from_args(args)
    except ConfigError as error:
        parser.error(str(error))
    rendered = {args.folder / path: text for path, text in alert_files(install).items()}
    return _check_files(args.folder, rendered) if args.check else _write_files(rendered)


def _stale_files(rendered: dict[Path, str]) -> list[Path]:
    return [path for path, text in rendered.items() if not path.is_file() or path.read_text("utf-8") != text]


def _write_files(rendered: dict[Path, str]) -> int:
    for path in _stale_files(rendered):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered[path], encoding="utf-8")
        sys.stdout.write(f"written: {path}\n")
    return 0


def _check_files(folder: Path, rendered: dict[Path, str]) -> int:
    # A runbook whose alert is gone would stay for ever.
    orphaned = sorted(path for path in folder.rglob("*") if path.is_file() and path not in rendered)
    stale = _stale_files(rendered)
    sys.stdout.writelines(f"stale: {path}\n" for path in stale)
    sys.stdout.writelines(f"left over: {path}\n" for path in orphaned)
    return 1 if stale or orphaned else 0


if __name__ == "__main__":
    sys.exit(main())
