"""The command that writes dashboards and alerts out of the installed package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from insights_exporter.bundle.options import add_arguments, bundle_options_from_args
from insights_exporter.bundle.output import bundle_files
from insights_exporter.errors import ConfigError

__all__ = ["add_bundle_arguments", "run_bundle"]


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command can be told."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder to write into; it may exist"
    )
    add_arguments(parser)
    parser.set_defaults(run=run_bundle)


def run_bundle(args: argparse.Namespace) -> int:
    """Write all files; raise ConfigError where a choice or the folder cannot be used."""
    rendered = bundle_files(bundle_options_from_args(args))
    try:
        _write_files(args.output, rendered)
    except OSError as error:
        failed_path = error.filename or args.output
        raise ConfigError(
            f"--output: expected a folder to write into, found {failed_path}: {error.strerror}."
        ) from None
    sys.stdout.write(f"{len(rendered)} files were written to {args.output}.\n")
    return 0


def _write_files(folder: Path, rendered: Mapping[str, str]) -> None:
    for relative_path, text in rendered.items():
        file = folder / relative_path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
