"""Choose the format and the compression of a response from the request headers."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.metrics.encoder import Format

__all__ = ["accepts_gzip", "preferred_format"]

_MAX_HEADER_LENGTH = 4096
"""Characters of a header that are parsed."""


def preferred_format(accept: str) -> Format:
    """Return the exposition format that an ``Accept`` header prefers; the default is the text format.

    OpenMetrics is chosen only if the header names it, and then also at equal quality, because it carries
    more metadata.
    """
    best_quality = {Format.TEXT: 0.0, Format.OPENMETRICS: 0.0}
    for media_type, parameters, quality in _parse_media_ranges(accept):
        version = parameters.get("version", "")
        if media_type == "application/openmetrics-text" and version in {"", "1.0.0", "0.0.1"}:
            best_quality[Format.OPENMETRICS] = max(best_quality[Format.OPENMETRICS], quality)
        elif media_type in {"text/plain", "text/*", "*/*"} and version in {"", "0.0.4"}:
            best_quality[Format.TEXT] = max(best_quality[Format.TEXT], quality)
    if 0 < best_quality[Format.OPENMETRICS] >= best_quality[Format.TEXT]:
        return Format.OPENMETRICS
    return Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an ``Accept-Encoding`` header allows gzip."""
    qualities = {coding: quality for coding, _, quality in _parse_media_ranges(accept_encoding)}
    gzip_qualities = [qualities[coding] for coding in ("gzip", "x-gzip") if coding in qualities]
    return max(gzip_qualities) > 0 if gzip_qualities else qualities.get("*", 0.0) > 0


def _parse_media_ranges(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, parameters and quality of each element; an invalid quality counts as 0."""
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
