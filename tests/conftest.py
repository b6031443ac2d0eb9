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
def restored_logging() -> Iterator[None]:
    """Undo what a command under test configures; later tests would capture or print other events."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if handler not in handlers and not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long tests first, so that both workers are busy until the end; the order is random otherwise."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_report_header() -> list[str]:
    """Return the versions of Prometheus and promtool that the tests run."""
    return program_versions()
