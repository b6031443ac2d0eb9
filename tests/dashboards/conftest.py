"""Histories that the dashboards are tested with."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.support import history_scenarios
from tests.support.history import History, cache_key, histories, history
from tests.support.history_scenarios import OUTAGES, YOUNG_HISTORIES, record_scenario
from tests.support.prometheus import Prometheus

__all__ = ["histories", "history"]


@pytest.fixture(scope="session")
def scenario_history(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], History]]:
    """Return the recorded history of a scenario by its name."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed")
    blocks = _cached_blocks(pytestconfig.cache.mkdir("history"))
    with ExitStack() as stack:

        @cache
        def get(name: str) -> History:
            data = tmp_path_factory.mktemp("prometheus") / "data"
            shutil.copytree(blocks / name, data)
            return History(stack.enter_context(Prometheus.run(data)))

        yield get


def _cached_blocks(cache_dir: Path) -> Path:
    """Return the folder of all scenarios; the first process records them, until the code changes."""
    source = Path(history_scenarios.__file__).read_bytes()
    blocks = cache_dir / f"scenarios-{cache_key()}-{hashlib.sha256(source).hexdigest()[:8]}"
    with (cache_dir / "scenarios-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not blocks.exists():
            for stale_dir in cache_dir.glob("scenarios-*-*"):
                shutil.rmtree(stale_dir)
            with tempfile.TemporaryDirectory(dir=cache_dir) as temp_dir:
                partial_blocks = Path(temp_dir, "blocks")
                partial_blocks.mkdir()
                for scenario in (*YOUNG_HISTORIES, *OUTAGES):
                    record_scenario(scenario, partial_blocks)
                partial_blocks.rename(blocks)
    return blocks
