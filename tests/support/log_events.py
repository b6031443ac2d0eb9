"""Structured log events that pytest's ``caplog`` captured."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

__all__ = ["log_events"]


def log_events(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, object]]:
    """Return the keys and values of each event, in order; a library's record has only ``event``."""
    return [
        record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        for record in caplog.records
    ]
