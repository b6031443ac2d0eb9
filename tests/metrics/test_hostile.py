"""Very many distinct and ugly label values are bounded, well written, and the same on two replicas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from insights_exporter.settings import LimitSettings

ROOT = Path(__file__).parents[2]


def rendered(count: int, seed: int) -> dict[str, float | str]:
    """Render in a process of its own, in another order for each seed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.metrics.hostile", str(count), str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        check=True,
    )
    found: dict[str, float | str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("count", [40_000, pytest.param(2_000_000, marks=pytest.mark.heavy)])
def test_hostile_label_values_stay_within_limits_and_replicas_agree(count: int) -> None:
    """Rendering takes little more than the snapshot itself, which holds every value."""
    one, other = rendered(count, 1), rendered(count, 2)

    assert one["sha256"] == other["sha256"]
    limit = LimitSettings().series_per_family
    assert limit < float(one["series"]) < 4 * limit
    assert float(one["peak_megabytes"]) < 120 + 3 * float(one["snapshot_megabytes"])
    if page := str(one["page"]):
        names = {value for family in parse(page) for row in family.samples for value in row.labels.values()}  # type: ignore[no-untyped-call]  # Ships no types.
        assert max(map(len, names)) == LimitSettings().label_value_length
