"""What holds for all tests."""

import pytest
from hypothesis import settings

# No test fails because the machine is busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, which would else go on alone at the end; the order is random otherwise."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
