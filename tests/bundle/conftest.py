"""The history that dashboards and rules are tried on."""

from tests.support.history import history

__all__ = ["history"]
