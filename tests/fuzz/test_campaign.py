"""A short fuzz campaign, and the mutations that it applies."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.campaign import run_campaign
from tests.fuzz.mutations import MUTATIONS, Answer, mutate

BODY = (
    b'{"report":{"start_time":"2026-01-14T00:00:00Z","template_ids":["t"],'
    b'"users":[{"user_id":"u","username":"ada","seconds":60,"template_ids":["t"]}]}}'
)


@pytest.mark.long
async def test_exporters_keep_their_promises_under_mutated_answers_and_kills(tmp_path: Path) -> None:
    """`make fuzz` runs the same campaign for 20,000 answers and 100 kills."""
    summary = await run_campaign(tmp_path / "campaign", answers=300, kills=3, seed=1)

    assert not summary.findings, str(summary)
    assert summary.answers >= 300
    assert summary.kills == 3
    assert summary.mutations.total() > 10
    assert summary.compared_series > 0


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_changes_the_answer_and_depends_on_the_seed_only(name: str) -> None:
    """A failing seed reproduces the same answers."""
    original = Answer(200, BODY, {"Content-Type": "application/json"})
    first, second = (Answer(200, BODY, {"Content-Type": "application/json"}) for _ in range(2))

    for answer in (first, second):
        assert MUTATIONS[name](answer, Random(1))

    assert repr(first) == repr(second)
    assert first != original


def test_mutation_of_a_body_without_json_is_another_one() -> None:
    """The metrics of coderd are text."""
    names = {mutate(Answer(200, b"coderd_agentstats_rx_bytes 5\n"), Random(seed)) for seed in range(50)}

    assert "missing row" not in names
    assert "truncated" in names
