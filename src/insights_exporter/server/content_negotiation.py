"""Which form of a page a client wants."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.metrics.encoder.text import Format

__all__ = ["accepts_gzip", "preferred_format"]

_MAX_HEADER_LENGTH = 4096
"""Characters of a header that are read; no scraper sends more."""


def preferred_format(accept: str) -> Format:
    """Return the exposition format that an ``Accept`` header prefers; text where it wants neither."""
    best_quality = {Format.TEXT: 0.0, Format.OPENMETRICS: 0.0}
    for media_type, parameters, quality in _parse_media_ranges(accept):
        version = parameters.get("version", "")
        if media_type == "application/openmetrics-text" and version in {"", "1.0.0", "0.0.1"}:
            best_quality[Format.OPENMETRICS] = max(best_quality[Format.OPENMETRICS], quality)
        elif media_type in {"text/plain", "text/*", "*/*"} and version in {"", "0.0.4"}:
            best_quality[Format.TEXT] = max(best_quality[Format.TEXT], quality)
    # Where both are as welcome, OpenMetrics says more; it is never sent to who does not name it.
    prefers_openmetrics = (
        best_quality[Format.OPENMETRICS] > 0 and best_quality[Format.OPENMETRICS] >= best_quality[Format.TEXT]
    )
    return Format.OPENMETRICS if prefers_openmetrics else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether an ``Accept-Encoding`` header admits gzip."""
    qualities = {coding: quality for coding, _, quality in _parse_media_ranges(accept_encoding)}
    gzip_qualities = [qualities[coding] for coding in ("gzip", "x-gzip") if coding in qualities]
    return max(gzip_qualities) > 0 if gzip_qualities else qualities.get("*", 0.0) > 0


def _parse_media_ranges(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield what a header lists, each with its parameters and quality; nonsense counts as not wanted."""
    for media_range in header[:_MAX_HEADER_LENGTH].split(","):
        name, *raw_parameters = (parameter.strip() for parameter in media_range.split(";"))
        parameters = {}
        for parameter in raw_parameters:
            key, _, value = parameter.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if name:
            yield name.lower(), parameters, quality if 0 <= quality <= 1 else 0.0
