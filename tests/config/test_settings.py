"""Types of settings: bounds, formats and errors without input values."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from insights_exporter.coder.time_ranges import parse_window
from insights_exporter.config.settings import CoderSettings, CostSettings, InsightsSettings
from insights_exporter.config.types import api_base_url
from insights_exporter.secrets import LiteralSecret, Secret

TOKEN = LiteralSecret(Secret("abcdefghij-klmnopqrstuvwxyzABCDEF"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://coder.example.com", "https://coder.example.com/api/v2"),
        ("https://coder.example.com/", "https://coder.example.com/api/v2"),
        ("http://localhost:3000", "http://localhost:3000/api/v2"),
        ("https://example.com/tools/coder/", "https://example.com/tools/coder/api/v2"),
        ("https://coder.example.com/api/v2", "https://coder.example.com/api/v2"),
        ("https://[::1]:3000", "https://[::1]:3000/api/v2"),
        (" https://coder.example.com\n", "https://coder.example.com/api/v2"),
    ],
)
def test_api_base_url(text: str, expected: str) -> None:
    assert str(api_base_url(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "coder.example.com",
        "ftp://coder.example.com",
        "https://",
        "https:///path",
        "https://coder.example.com?x=1",
        "https://coder.example.com?",
        "https://coder.example.com#top",
        "https://ada:hunter2@coder.example.com",
        "https://coder.example.com:notaport",
        "http://[::1",
    ],
)
def test_invalid_url_is_rejected_without_password(text: str) -> None:
    with pytest.raises(ValidationError, match=r"^1 validation error.*\nurl\n  expected an http") as caught:
        CoderSettings(url=text, token=TOKEN)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"total_timeout": 0.0},
        {"connect_timeout": -1.0},
        {"read_timeout": float("nan")},
        {"concurrency": 0},
        {"retries": -1},
        {"max_response_bytes": 0},
        {"workspace_page_size": 0},
        {"workspace_page_size": 1001},
        {"unknown": 1},
        {"key_file": Path("key.pem")},
    ],
    ids=str,
)
def test_invalid_setting_is_rejected_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"^1 validation error.*\n{next(iter(bad))}\n"):
        CoderSettings(url="https://coder.example.com", token=TOKEN, **bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"price_per_unit": 0.0, "currency": "EUR"},
        {"price_per_unit": float("inf"), "currency": "EUR"},
        {"price_per_unit": 1.0, "currency": "euro"},
        {"price_per_unit": 1.0},
        {"currency": "EUR"},
    ],
    ids=str,
)
def test_a_price_is_positive_and_has_a_currency_code(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CostSettings(**bad)


def test_settings_are_immutable() -> None:
    settings = CoderSettings(url="https://coder.example.com", token=TOKEN)

    with pytest.raises(ValidationError, match="frozen"):
        settings.retries = 1


def test_window_names_are_those_of_time_ranges() -> None:
    now = datetime(2026, 1, 14, tzinfo=UTC)
    names = ("today", "yesterday", "1d", "999d", "0d", "1000d", "07d", "d", "7", "7D", "7d ", "tomorrow")

    def is_setting(name: str) -> bool:
        try:
            return InsightsSettings(windows=(name,)).windows == (name,)
        except ValidationError:
            return False

    def is_window(name: str) -> bool:
        try:
            return parse_window(name, now).name == name
        except ValueError:
            return False

    assert [name for name in names if is_setting(name)] == ["today", "yesterday", "1d", "999d"]
    assert [name for name in names if is_window(name)] == ["today", "yesterday", "1d", "999d"]
