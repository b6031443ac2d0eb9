"""Small groups among new accounts and accounts without use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from insights_exporter.small_groups import suppress_small_groups
from insights_exporter.snapshot import Onboarding, Snapshot

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
STAGES = {"created": 30, "signed_in": 20, "created_workspace": 10, "used_workspace": 5}
NAMES = tuple("abcdefghijklmno")


def suppress(
    stages: dict[str, int], *, never_signed_in: int = 15, stopped: int = 0
) -> tuple[Onboarding | None, int]:
    inactive = {"never_signed_in": NAMES[:never_signed_in], "stopped": NAMES[:stopped]}
    result = suppress_small_groups(Snapshot(NOW, onboarding=Onboarding(stages, inactive)), 5)
    return result.snapshot.onboarding, result.withheld["accounts"]


def test_large_steps_are_shown() -> None:
    onboarding, withheld = suppress(STAGES)

    assert onboarding is not None
    assert onboarding.stages == STAGES
    assert withheld == 0


@pytest.mark.parametrize(
    ("stages", "never_signed_in", "stopped"),
    [
        ({"used_workspace": 4}, 15, 0),
        ({"signed_in": 28}, 15, 0),
        ({}, 12, 0),
        ({}, 15, 4),
    ],
    ids=["few used one", "few did not sign in", "few older accounts did not sign in", "few stopped"],
)
def test_nothing_is_shown_if_a_number_or_a_difference_is_small(
    stages: dict[str, int], never_signed_in: int, stopped: int
) -> None:
    assert suppress(STAGES | stages, never_signed_in=never_signed_in, stopped=stopped) == (None, 6)
