"""Reads a page back, strictly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from typing import cast

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from insights_exporter.metrics.text import Format

__all__ = ["checked_by_promtool", "parsed", "series"]

_Parse = Callable[[str], Iterable[Metric]]


def parsed(page: bytes, form: Format) -> list[Metric]:
    """Return the families of a page; fails where the parser of prometheus_client does."""
    parse = cast("_Parse", parse_openmetrics if form is Format.OPENMETRICS else parse_text)
    return list(parse(page.decode()))


def series(
    page: bytes, form: Format = Format.OPENMETRICS
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample by name and labels; fails where one occurs twice."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in parsed(page, form):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())

            assert key not in found

            found[key] = sample.value
    return found


def checked_by_promtool(page: bytes) -> str:
    """Return what ``promtool check metrics`` finds wrong with a page of text."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed, so nothing checks the page but prometheus_client.")
    done = subprocess.run([program, "check", "metrics"], input=page, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()
