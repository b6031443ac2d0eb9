"""The proxy that the environment asks for."""

from __future__ import annotations

from urllib.request import getproxies, proxy_bypass

from yarl import URL

__all__ = ["environment_proxy"]


def environment_proxy(url: URL) -> str | None:
    """Return the proxy to reach an address by, from ``http_proxy``, ``https_proxy`` and ``no_proxy``.

    aiohttp would do so itself, but only together with a look into ``.netrc`` in another thread at each
    request, which costs more than the request and could send a stranger's password to Coder.
    """
    if url.host is None or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)
