"""The proxies that the environment asks for."""

from __future__ import annotations

from urllib.request import getproxies, proxy_bypass

from yarl import URL

__all__ = ["EnvironmentProxies"]


class EnvironmentProxies:
    """Which proxy to reach an address by, from ``http_proxy``, ``https_proxy`` and ``no_proxy``.

    The environment is read once per host: at each request that would cost more than the request. aiohttp
    could look there itself, but only together with ``.netrc``, in another thread, at each request, and what
    it finds in that could send a stranger's password to Coder.
    """

    def __init__(self) -> None:
        self._cache: dict[tuple[str, str], str | None] = {}

    def proxy_for(self, url: URL) -> str | None:
        """Return the proxy's address; None for the direct way."""
        key = url.scheme, url.host or ""
        if key not in self._cache:
            self._cache[key] = None if proxy_bypass(key[1]) else getproxies().get(key[0])
        return self._cache[key]
