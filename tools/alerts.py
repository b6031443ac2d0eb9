"""Write the folder `alerts/` with default options, or check that it is up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.renderers import alert_files

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Write all files and delete orphaned ones; with ``--check``, return 1 if a file is stale or orphaned."""
    parser = argparse.ArgumentParser(prog="python -m tools.alerts", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("alerts"))
    parser.add_argument("--check", action="store_true", help="compare only; exit with 1 on differences")
    args = parser.parse_args(argv)
    rendered = {args.folder / path: text for path, text in alert_files(InstallOptions()).items()}
    stale = [path for path, text in rendered.items() if not path.is_file() or path.read_text("utf-8") != text]
    orphaned = sorted(path for path in args.folder.rglob("*") if path.is_file() and path not in rendered)
    if args.check:
        sys.stdout.writelines(f"stale: {path}\n" for path in stale)
        sys.stdout.writelines(f"orphaned: {path}\n" for path in orphaned)
        return 1 if stale or orphaned else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered[path], encoding="utf-8")
        sys.stdout.write(f"written: {path}\n")
    for path in orphaned:
        path.unlink()
        sys.stdout.write(f"deleted: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
