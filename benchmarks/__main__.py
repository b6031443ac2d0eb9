"""Run benchmarks by name, or all, and print their tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks import (
    ablation,
    agent_stats,
    backfill,
    database_time,
    logins,
    polling,
    prometheus,
    rendering,
    results_page,
    scraping,
)
from benchmarks.result_table import ResultTable

BENCHMARKS: Mapping[str, Sequence[Callable[[], ResultTable]]] = {
    "render": (rendering.render_body, rendering.cost_by_size, rendering.snapshot_to_bodies),
    "scrape": (scraping.scrape,),
    "poll": (polling.poll, polling.small_poll, polling.requests_per_hour),
    "prices": (database_time.database_time,),
    "backfill": (backfill.backfill,),
    "agents": (agent_stats.backlog,),
    "logins": (logins.logins,),
    "ablation": (ablation.optimizations,),
    "memory": (rendering.peak_memory, scraping.process_memory, prometheus.prometheus_scrape),
}

ON_REQUEST = frozenset({"backfill"})
"""Benchmarks that take too long to run without being named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="comparisons to run")
    parser.add_argument(
        "--write", action="store_true", help=f"write them into {results_page.RESULTS_PATH.name}"
    )
    options = parser.parse_args(arguments)
    tables = []
    for name in options.names or [name for name in BENCHMARKS if name not in ON_REQUEST]:
        for benchmark in BENCHMARKS[name]:
            tables.append(benchmark().markdown())
            sys.stdout.write(tables[-1] + "\n")
            sys.stdout.flush()
    if options.write:
        results_page.write_results(tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
