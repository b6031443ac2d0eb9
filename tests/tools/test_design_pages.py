"""The design pages name modules and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "src" / "insights_exporter"
TEST_PATH: Final = re.compile(r"`(tests/[\w/]+(?:\.py|/))`")
MODULE_PATH: Final = re.compile(r"`((?:\w+/)*\w+\.py)`")


def test_every_guarantee_names_a_test_that_exists() -> None:
    rows = [
        line
        for line in (ROOT / "docs/design/guarantees.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| Guarantee", "|---"))
    ]
    missing = [path for row in rows for path in TEST_PATH.findall(row) if not (ROOT / path).exists()]

    assert len(rows) > 10
    assert [row for row in rows if not TEST_PATH.search(row)] == []
    assert missing == []


@pytest.mark.parametrize("page", ["architecture.md", "guarantees.md"])
def test_named_modules_exist(page: str) -> None:
    text = (ROOT / "docs/design" / page).read_text(encoding="utf-8")
    modules = {path for path in MODULE_PATH.findall(text) if not path.startswith(("tests/", "dashboards/"))}

    assert modules
    assert sorted(path for path in modules if not (PACKAGE / path).exists()) == []
