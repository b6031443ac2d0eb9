"""Fixtures of the tests of pushes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.otlp.scenarios import TOKEN


@pytest.fixture(autouse=True)
def assert_no_secrets_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if a header value is logged; OpenTelemetry's own log is switched off, as in production."""
    for name in ("opentelemetry.exporter.otlp", "opentelemetry.util.re"):
        caplog.set_level(logging.CRITICAL, name)
    caplog.set_level(logging.INFO)
    yield

    assert TOKEN not in caplog.text
    assert TOKEN not in repr([vars(record) for record in caplog.records])
