"""`python -m tests.fuzz`: run a campaign and print its summary; exit with 1 if it found a fault."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import run_campaign


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--answers", type=int, default=20_000, help="answers of Coder (default: 20000)")
    parser.add_argument("--kills", type=int, default=100, help="kills of exporter processes (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: 1)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "campaign"
    summary = asyncio.run(
        run_campaign(folder, answers=options.answers, kills=options.kills, seed=options.seed)
    )
    sys.stdout.write(f"{summary}\n")
    if summary.findings:
        sys.stdout.write(f"The logs of the processes are in {folder}.\n")
    return 1 if summary.findings else 0


if __name__ == "__main__":
    sys.exit(main())
