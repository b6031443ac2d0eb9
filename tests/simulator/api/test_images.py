"""Images of apps, users and parameter options."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from insights_exporter.simulator.api.http_server import serve
from tests.support.api_client import simulated_deployment


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Serve a simulated Coder and return its URL."""
    async with serve(simulated_deployment(), port=0) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/icon/terminal.svg", ">Te<"),
        ("/icon/code-server.png", ">Co<"),
        ("/emojis/1f600.png", "&#128512;"),
        ("/emojis/1f1ea-1f1fa.png", "&#127466;&#127482;"),
    ],
)
async def test_images_are_drawn_without_authentication(url: str, path: str, text: str) -> None:
    async with ClientSession() as session, session.get(url + path) as response:
        body = await response.text()

    assert (response.status, response.content_type) == (200, "image/svg+xml")
    assert text in body


@pytest.mark.parametrize("path", ["/emojis/smile.png", "/emojis/110000.png", "/icon/a%3Cb.svg"])
async def test_other_names_are_not_found(url: str, path: str) -> None:
    async with ClientSession() as session, session.get(url + path) as response:
        assert response.status == 404
