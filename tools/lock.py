"""Lock files: all dependencies at the versions of constraints.txt, with the hashes of all published files.

``pip install --require-hashes --requirement requirements-dev.lock`` refuses a file that was changed after the
lock was written, on each platform. Only this tool needs the network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["BUILD_LOCK", "LOCKS", "compile_lock", "main"]

ROOT: Final = Path(__file__).parent.parent

LOCKS: Final = {
    # The container image.
    "requirements.lock": ("postgres", "otlp", "otlp-grpc"),
    # `make install`.
    "requirements-dev.lock": ("dev",),
}
"""The extras of pyproject.toml in each lock file."""

BUILD_LOCK: Final = "requirements-build.lock"
"""The lock file of the build backend, for builds with ``--no-build-isolation``."""

_HEADER: Final = (
    "# Written by `make lock` from pyproject.toml and constraints.txt; change those and not this file.\n"
    "# Install with: pip install --require-hashes --requirement {name}\n"
)
_OPTIONS: Final = (
    # One file for all platforms and Python versions, with environment markers where they differ.
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    # The same certificates as pip, and no address of an index in the file.
    "--native-tls",
    "--no-emit-index-url",
    "--no-annotate",
    "--no-header",
    "--quiet",
)


def compile_lock(name: str, *, root: Path = ROOT) -> str:
    """Return the text of a lock file; raise CalledProcessError if the versions conflict."""
    build_system = tomllib.loads((root / "pyproject.toml").read_text())["build-system"]
    source = ["-"] if name == BUILD_LOCK else ["pyproject.toml"]
    source += [f"--extra={extra}" for extra in LOCKS.get(name, ())]
    command = [sys.executable, "-m", "uv", "pip", "compile", *source, "--constraint=constraints.txt"]
    process = subprocess.run(  # noqa: S603  # The arguments are names of this file.
        [*command, *_OPTIONS],
        cwd=root,
        input="\n".join(build_system["requires"]),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return _HEADER.format(name=name) + process.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the lock files, or with ``--check`` return 1 if one is stale."""
    parser = argparse.ArgumentParser(prog="python -m tools.lock", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a lock file is stale; write nothing")
    options = parser.parse_args(arguments)
    stale = []
    for name in (*LOCKS, BUILD_LOCK):
        path, text = ROOT / name, compile_lock(name)
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not options.check:
                path.write_text(text)
    if options.check and stale:
        sys.stderr.write(f"Stale: {', '.join(stale)}. Run `make lock`.\n")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
