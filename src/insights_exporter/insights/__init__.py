"""Template insights from Coder's API: query plan, fetcher, change detection, usage and totals."""
