"""Certificates for the way to Coder."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from yarl import URL

from insights_exporter.coder.settings import CoderSettings
from insights_exporter.errors import ConfigError

__all__ = ["ssl_context_for"]


async def ssl_context_for(url: URL, settings: CoderSettings) -> ssl.SSLContext | bool:
    """Return what checks certificates on the way to an address; True stands for aiohttp's own defaults.

    Raises ConfigError that names a bad file.
    """
    if url.scheme == "http" and settings.ca_file is None and settings.cert_file is None:
        # At most a redirect may lead to TLS, for which the defaults serve.
        return True
    # The system's authorities are read, which takes longer than a scrape may have to wait.
    return await asyncio.to_thread(_create_ssl_context, settings)


def _create_ssl_context(settings: CoderSettings) -> ssl.SSLContext:
    """Return the context with the settings' authority and client certificate.

    An authority of our own comes beside the system's. Raises ConfigError that names a bad file.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(settings.ca_file)
        except OSError as error:
            raise _certificate_error(
                "ca_file", settings.ca_file, "certificates in PEM form", error
            ) from error
    if settings.cert_file is not None:
        try:
            # An encrypted key would make OpenSSL ask at a terminal that is not there.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=_reject_encrypted_key)
        except (OSError, ValueError) as error:
            files = settings.cert_file if settings.key_file is None else settings.key_file
            raise _certificate_error(
                "cert_file, key_file", files, "a certificate and its unencrypted key in PEM form", error
            ) from error
    return context


def _reject_encrypted_key() -> str:
    raise ValueError("the key is encrypted")


def _certificate_error(key: str, path: Path, expected: str, error: Exception) -> ConfigError:
    cause = getattr(error, "strerror", None) or getattr(error, "reason", None) or "something else"
    return ConfigError(f"{key}: expected {expected} in {path}, found: {cause}.")
