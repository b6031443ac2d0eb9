"""Which form of a page a client wants."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.metrics.text import Format

__all__ = ["accepts_gzip", "preferred_format"]

_HEADER_LIMIT = 4096
"""Characters of a header that are read; no scraper sends more."""


def preferred_format(accept: str) -> Format:
    """Return the exposition format that an ``Accept`` header prefers; text where it wants neither."""
    best = {Format.TEXT: 0.0, Format.OPENMETRICS: 0.0}
    for media, parameters, quality in _ranges(accept):
        version = parameters.get("version", "")
        if media == "application/openmetrics-text" and version in {"", "1.0.0", "0.0.1"}:
            best[Format.OPENMETRICS] = max(best[Format.OPENMETRICS], quality)
        elif media in {"text/plain", "text/*", "*/*"} and version in {"", "0.0.4"}:
            best[Format.TEXT] = max(best[Format.TEXT], quality)
    # Where both are as welcome, OpenMetrics says more; it is never sent to who does not name it.
    warm = best[Format.OPENMETRICS] > 0 and best[Format.OPENMETRICS] >= best[Format.TEXT]
    return Format.OPENMETRICS if warm else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether an ``Accept-Encoding`` header admits gzip."""
    found = {coding: quality for coding, _, quality in _ranges(accept_encoding)}
    named = [found[coding] for coding in ("gzip", "x-gzip") if coding in found]
    return max(named) > 0 if named else found.get("*", 0.0) > 0


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield what a header lists, each with its parameters and quality; nonsense counts as not wanted."""
    for part in header[:_HEADER_LIMIT].split(","):
        name, *rest = (one.strip() for one in part.split(";"))
        parameters = {}
        for one in rest:
            key, _, value = one.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if name:
            yield name.lower(), parameters, quality if 0 <= quality <= 1 else 0.0
