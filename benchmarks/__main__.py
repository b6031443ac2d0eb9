"""Run comparisons by name, all of them where none is named, and print their tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks import agent_reports, logins, page, polling, prometheus, rendering, scraping
from benchmarks.table import Table

COMPARISONS: Mapping[str, Sequence[Callable[[], Table]]] = {
    "render": (rendering.render_page, rendering.sizes, rendering.whole_poll),
    "scrape": (scraping.scrape,),
    "poll": (polling.poll, polling.small_poll, polling.calls),
    "agents": (agent_reports.backlog,),
    "logins": (logins.logins,),
    "memory": (rendering.memory, scraping.memory_of_process, prometheus.scraped_by_prometheus),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *COMPARISONS], help="comparisons to run")
    parser.add_argument("--write", action="store_true", help=f"write them into {page.PAGE.name}")
    wanted = parser.parse_args(arguments)
    tables = []
    for name in wanted.names or COMPARISONS:
        for compare in COMPARISONS[name]:
            tables.append(compare().markdown())
            sys.stdout.write(tables[-1] + "\n")
            sys.stdout.flush()
    if wanted.write:
        page.write(tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
