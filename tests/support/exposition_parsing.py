"""Strict parsing of expositions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from typing import cast

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from insights_exporter.metrics.encoder import Format

__all__ = ["parse_families", "parse_series", "promtool_check"]

_Parse = Callable[[str], Iterable[Metric]]


def parse_families(body: bytes, exposition_format: Format) -> list[Metric]:
    """Return the families of an exposition; raise the errors of prometheus_client's parser."""
    parse = cast("_Parse", parse_openmetrics if exposition_format is Format.OPENMETRICS else parse_text)
    return list(parse(body.decode()))


def parse_series(
    body: bytes, exposition_format: Format = Format.OPENMETRICS
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return all samples by name and labels; fail on duplicates."""
    values_by_series: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in parse_families(body, exposition_format):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())

            assert key not in values_by_series

            values_by_series[key] = sample.value
    return values_by_series


def promtool_check(body: bytes) -> str:
    """Return the findings of ``promtool check metrics`` for a text exposition."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed, so nothing checks the page but prometheus_client.")
    process = subprocess.run([program, "check", "metrics"], input=body, capture_output=True, check=False)
    return (process.stdout + process.stderr).decode()
