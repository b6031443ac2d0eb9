"""The command that writes dashboards and alerts out of the installed package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from insights_exporter.bundle.choices import add_options, choices_of
from insights_exporter.bundle.files import files
from insights_exporter.errors import ConfigError

__all__ = ["add_to", "bundle"]


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add what the command can be told."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder to write into; it may exist"
    )
    add_options(parser)
    parser.set_defaults(run=bundle)


def bundle(options: argparse.Namespace) -> int:
    """Write all files; raise ConfigError where a choice or the folder cannot be used."""
    made = files(choices_of(options))
    try:
        _write(options.output, made)
    except OSError as error:
        where = error.filename or options.output
        raise ConfigError(
            f"--output: expected a folder to write into, found {where}: {error.strerror}."
        ) from None
    sys.stdout.write(f"{len(made)} files were written to {options.output}.\n")
    return 0


def _write(folder: Path, made: Mapping[str, str]) -> None:
    for path, text in made.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
