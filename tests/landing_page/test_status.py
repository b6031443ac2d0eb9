"""States of the exporter and its collectors on the landing page."""

from __future__ import annotations

from datetime import timedelta

import pytest

from insights_exporter.landing_page import CollectorState, ExporterStatus
from tests.landing_page.fakes import NOW


@pytest.mark.parametrize(
    ("collector", "expected"),
    [
        (CollectorState("insights", NOW, served=True), "ok"),
        (CollectorState("insights", NOW, "timeout", served=True), "failing"),
        (CollectorState("insights", NOW, "timeout"), "no data"),
        (CollectorState("insights"), "waiting"),
        (CollectorState("agent_stats", configured=False), "off"),
    ],
)
def test_collector_states(collector: CollectorState, expected: str) -> None:
    assert collector.state.label == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (ExporterStatus(NOW, "1"), "ready"),
        (ExporterStatus(NOW, "1", "No data."), "not ready"),
        (ExporterStatus(NOW, "1", "No data.", warming_up=True), "warming up"),
        (ExporterStatus(NOW, "1", warm_up_ratio=0.639), "warming up 63 %"),
        (ExporterStatus(NOW, "1", warm_up_ratio=0.9999), "warming up 99 %"),
    ],
)
def test_exporter_states(status: ExporterStatus, expected: str) -> None:
    assert status.state.label == expected


@pytest.mark.parametrize(("age", "expected"), [(600, False), (601, True)])
def test_data_is_old_after_the_maximum_age(age: int, *, expected: bool) -> None:
    status = ExporterStatus(NOW, "1", data_at=NOW - timedelta(seconds=age), max_data_age=600)

    assert status.data_is_old is expected


def test_unknown_data_time_is_not_old() -> None:
    assert ExporterStatus(NOW, "1", max_data_age=600).data_is_old is False
