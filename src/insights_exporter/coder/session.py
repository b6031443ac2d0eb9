"""HTTP sessions to Coder: TLS contexts, and proxies of the environment."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from insights_exporter.config.settings import CoderSettings
from insights_exporter.errors import ConfigError

__all__ = ["EnvironmentProxies", "open_session", "ssl_context_for"]


async def open_session(settings: CoderSettings, url: URL) -> aiohttp.ClientSession:
    """Return a session with the TLS settings; raise ConfigError if a certificate file cannot be used."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=await ssl_context_for(url, settings), limit=settings.concurrency),
        # A session cookie of Coder or of a proxy would authenticate requests beside the token.
        cookie_jar=aiohttp.DummyCookieJar(),
        # The transport decompresses with a size limit.
        auto_decompress=False,
    )


async def ssl_context_for(url: URL, settings: CoderSettings) -> ssl.SSLContext | bool:
    """Return the TLS context of requests to the URL; True selects aiohttp's default context.

    Raises ConfigError that names the invalid file.
    """
    if url.scheme == "http" and settings.ca_file is None and settings.cert_file is None:
        # Only a redirect can lead to TLS, for which the default context is right.
        return True
    # Loading the system's CA certificates blocks longer than a scrape may wait.
    return await asyncio.to_thread(_create_ssl_context, settings)


def _create_ssl_context(settings: CoderSettings) -> ssl.SSLContext:
    """Return a context that trusts the system's CAs and ``ca_file``, with the client certificate."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(settings.ca_file)
        except OSError as error:
            raise _certificate_error("coder.ca_file", settings.ca_file, "PEM certificates", error) from error
    if settings.cert_file is not None:
        try:
            # Without a password callback, OpenSSL prompts for the password of an encrypted key.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=_reject_encrypted_key)
        except (OSError, ValueError) as error:
            file = settings.cert_file if settings.key_file is None else settings.key_file
            raise _certificate_error(
                "coder.cert_file, coder.key_file", file, "a PEM certificate and its unencrypted key", error
            ) from error
    return context


def _reject_encrypted_key() -> str:
    raise ValueError("the key is encrypted")


def _certificate_error(key: str, path: Path, expected: str, error: Exception) -> ConfigError:
    # The reasons of OpenSSL are more specific than its messages.
    cause = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return ConfigError(f"{key}: expected {expected} in {path}, got an error: {cause}")


class EnvironmentProxies:
    """Proxies of ``http_proxy``, ``https_proxy`` and ``no_proxy``, looked up once per host.

    aiohttp's ``trust_env`` would look up the environment in a thread at each request, and would also send
    credentials of ``.netrc`` to Coder.
    """

    def __init__(self) -> None:
        self._cache: dict[tuple[str, str], str | None] = {}

    def proxy_for(self, url: URL) -> str | None:
        """Return the URL of the proxy; None for a direct connection."""
        key = url.scheme, url.host or ""
        if key not in self._cache:
            self._cache[key] = None if proxy_bypass(key[1]) else getproxies().get(key[0])
        return self._cache[key]
