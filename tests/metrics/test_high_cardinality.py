"""High cardinality: millions of distinct label values are limited, valid, and equal on two replicas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from insights_exporter.config.settings import LimitSettings
from insights_exporter.metrics.encoder import Format
from tests.support.exposition_parsing import parse_series, promtool_check

ROOT = Path(__file__).parents[2]
DEFAULT = LimitSettings().series_per_family
BYTES_PER_VALUE = 600


def start_renderer(count: int, limit: int, seed: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that renders; each seed has another order of values."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.metrics.render_high_cardinality",
            *map(str, (count, limit, seed, folder)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("count", "limit"), [(20_000, 2_000), pytest.param(2_000_000, DEFAULT, marks=pytest.mark.heavy)]
)
def test_high_cardinality_stays_within_limits_and_replicas_agree(
    tmp_path: Path, record_property: Callable[[str, object], None], count: int, limit: int
) -> None:
    """The limit bounds memory: rendering adds at most 600 bytes per value to the snapshot."""
    replicas = [start_renderer(count, limit, seed, tmp_path) for seed in (1, 2)]
    memory = [json.loads(first.communicate()[0]) for first in replicas]
    record_property("megabytes", memory)
    first, second = (
        parse_series((tmp_path / f"{Format.OPENMETRICS.name}-{seed}").read_bytes()) for seed in (1, 2)
    )
    text = (tmp_path / f"{Format.TEXT.name}-1").read_bytes()

    assert first == second
    assert limit < len(first) < 4 * limit
    max_growth = 20 + count * BYTES_PER_VALUE / 2**20
    assert all(megabytes["peak"] - megabytes["snapshot"] < max_growth for megabytes in memory)
    assert promtool_check(text) == ""
    assert len(parse_series(text, Format.TEXT)) == len(first)
    assert max(len(value) for _, labels in first for _, value in labels) == LimitSettings().label_value_length
