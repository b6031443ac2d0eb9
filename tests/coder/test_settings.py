from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from insights_exporter.coder.settings import CoderSettings, api_base_url
from insights_exporter.errors import ConfigError
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
    with pytest.raises(ConfigError, match=r"^url: expected an address such as") as caught:
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
        {"key_file": Path("key.pem")},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_invalid_setting_is_rejected_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(bad))}: expected"):
        CoderSettings(url="https://coder.example.com", token=TOKEN, **bad)
