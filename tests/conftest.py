"""Configuration of all tests."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

from insights_exporter.logging import configure_structlog
from tests.support.programs import program_versions, use_programs_of_environment

# Without it, structlog prints events to standard output and pytest's `caplog` stays empty.
configure_structlog()

use_programs_of_environment()

# A slow machine must not fail property tests.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def restored_log_level() -> Iterator[None]:
    """Restore the level that a command under test sets; otherwise later tests capture no events."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long tests first, so that both workers are busy until the end; the order is random otherwise."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_report_header() -> list[str]:
    """Return the versions of Prometheus and promtool that the tests run."""
    return program_versions()
