"""Images that Coder serves without authentication: icons of apps, and emojis of users and parameter options.

The simulator draws them: an icon is the start of its name in a coloured square, an emoji is its character.
"""

from __future__ import annotations

import colorsys
import re
from typing import Final
from zlib import crc32

from aiohttp import web

__all__ = ["add_image_routes"]

_CODE_POINTS: Final = re.compile(r"[0-9a-f]{2,6}(-[0-9a-f]{2,6})*")
_MAX_CODE_POINT: Final = 0x10FFFF


def add_image_routes(app: web.Application) -> None:
    """Add the paths of icons and emojis."""
    app.router.add_get(r"/icon/{name:[\w-]+}.{extension:svg|png}", _icon)
    app.router.add_get(r"/emojis/{name:[\w-]+}.png", _emoji)


async def _icon(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    red, green, blue = colorsys.hls_to_rgb(crc32(name.encode()) % 360 / 360, 0.4, 0.5)
    color = f"rgb({red * 255:.0f},{green * 255:.0f},{blue * 255:.0f})"
    return _svg(
        f'<rect width="32" height="32" rx="6" fill="{color}"/>'
        f'<text x="16" y="22" font-size="16" text-anchor="middle" fill="white" '
        f'font-family="sans-serif">{name[:2].title()}</text>'
    )


async def _emoji(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    code_points = [int(part, 16) for part in name.split("-")] if _CODE_POINTS.fullmatch(name) else []
    if not code_points or max(code_points) > _MAX_CODE_POINT:
        raise web.HTTPNotFound
    text = "".join(f"&#{code_point};" for code_point in code_points)
    return _svg(f'<text x="16" y="26" font-size="26" text-anchor="middle">{text}</text>')


def _svg(content: str) -> web.Response:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{content}</svg>'
    return web.Response(text=text, content_type="image/svg+xml")
