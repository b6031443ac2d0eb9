"""An incident calls those whom it concerns, and nobody else."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.alerts.diary import INCIDENTS, LENGTH, diary

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "promtool"))), reason="prometheus is not installed."
)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (
            "a slow region",
            {
                "TemplateLatencyHigh": "warning",
                "TemplateLatencyCritical": "critical",
                "TemplateP95High": "warning",
                # Nothing is known of better days, so the budget's windows are full of this one.
                "LatencyBudgetFastBurn": "critical",
                "LatencyBudgetSlowBurn": "warning",
            },
        ),
        ("a dead app", {"AppsUnhealthy": "warning"}),
        ("statistics switched off", {"CollectionDisabled": "warning"}),
        (
            "a revoked token",
            {
                "TokenInvalid": "critical",
                "CollectorFailing": "warning",
                "DataStale": "warning",
                "DataMissing": "critical",
            },
        ),
    ],
)
def test_an_incident_fires_exactly_what_it_should(
    what: str, expected: dict[str, str], tmp_path: Path
) -> None:
    """Two hours of it, after two of an ordinary morning."""
    begin = INCIDENTS[what]
    with diary(tmp_path, begin - timedelta(hours=2), begin + LENGTH) as remembered:
        found = remembered.names(begin, begin + LENGTH, timedelta(minutes=5))

    assert expected == found
