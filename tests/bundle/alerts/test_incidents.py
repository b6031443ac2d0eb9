"""An incident fires exactly the alerts that concern it."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.bundle.alerts.scripted_history import INCIDENT_DURATION, INCIDENTS, scripted_history

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "promtool"))), reason="prometheus is not installed."
)


@pytest.mark.parametrize(
    ("incident", "expected"),
    [
        (
            "a slow region",
            {
                "TemplateLatencyHigh": "warning",
                "TemplateLatencyCritical": "critical",
                "TemplateP95High": "warning",
                # Without earlier data, the windows of the budget contain the incident alone.
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
def test_an_incident_fires_exactly_the_expected_alerts(
    incident: str, expected: dict[str, str], tmp_path: Path
) -> None:
    """The incident lasts two hours, after two normal hours."""
    start = INCIDENTS[incident]
    with scripted_history(tmp_path, start - timedelta(hours=2), start + INCIDENT_DURATION) as history:
        fired = history.fired_alerts(start, start + INCIDENT_DURATION, timedelta(minutes=5))

    assert expected == fired
