"""The history that dashboards and rules are tried on."""

from tests.support.history import histories, history

__all__ = ["histories", "history"]
