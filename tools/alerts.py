"""Write the folder `alerts/` with default options, or check that it is up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.renderers import alert_files
from tools.generated_files import write_or_check

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Write all files and delete orphaned ones; with ``--check``, return 1 if a file is stale or orphaned."""
    parser = argparse.ArgumentParser(prog="python -m tools.alerts", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("alerts"))
    parser.add_argument("--check", action="store_true", help="compare only; exit with 1 on differences")
    args = parser.parse_args(argv)
    files = {args.folder / path: text for path, text in alert_files(InstallOptions()).items()}
    return write_or_check(files, check=args.check, folder=args.folder)


if __name__ == "__main__":
    sys.exit(main())
