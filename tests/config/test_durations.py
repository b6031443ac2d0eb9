from __future__ import annotations

import pytest

from insights_exporter.config.types import GO_UNITS, UNITS, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0), ("1d", 86400.0), ("500ms", 0.5), ("1.5h", 5400.0)],
)
def test_durations_of_exporter_yaml(text: str, seconds: float) -> None:
    assert parse_duration(text, UNITS) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m30s", 90.0), ("1.5us", 1.5e-6), ("20µs", 2e-5), (".5s", 0.5)]
)
def test_go_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, GO_UNITS) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 m", "-5s", "5m5", "1w", "٣s"])
def test_other_texts_are_rejected(text: str) -> None:
    for units in (UNITS, GO_UNITS):
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text, units)


def test_units_belong_to_one_grammar() -> None:
    with pytest.raises(ValueError, match="unit"):
        parse_duration("1d", GO_UNITS)
    with pytest.raises(ValueError, match="unit"):
        parse_duration("1us", UNITS)
