"""TLS contexts from a web configuration, the newest one for each new connection."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from insights_exporter.errors import ConfigError
from insights_exporter.server.auth.tls_config import Pem, TlsConfig

__all__ = ["reloading_context", "tls_context"]


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a server's context; raise ConfigError that names what is wrong with a certificate or key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = config.minimum_version, config.maximum_version
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if config.prefer_server_ciphers:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if config.ciphers:
        context.set_ciphers(":".join(config.ciphers))
    if config.curve:
        context.set_ecdh_curve(config.curve)
    _load_server_cert(context, config)
    _load_client_ca(context, config)
    return context


def _load_server_cert(context: ssl.SSLContext, config: TlsConfig) -> None:
    try:
        with _pem_path(config.cert) as cert, _pem_path(config.key) as key:
            # An encrypted key would make OpenSSL ask at a terminal that is not there.
            context.load_cert_chain(cert, key, password=_reject_encrypted_key)
    except (OSError, ValueError) as error:
        raise _tls_config_error(
            "cert, key", "a certificate and its own unencrypted key in PEM form", error
        ) from None


def _load_client_ca(context: ssl.SSLContext, config: TlsConfig) -> None:
    context.verify_mode = config.verify_mode
    try:
        if config.client_ca is not None:
            with _pem_path(config.client_ca) as file:
                context.load_verify_locations(file)
        elif config.verify_mode is not ssl.CERT_NONE:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except (OSError, ValueError) as error:
        raise _tls_config_error("client_ca", "certificates in PEM form", error) from None


def reloading_context(get_context: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return a context for asyncio whose new connections each take the context that ``current`` returns."""
    return _ReloadingContext(get_context)


class _ReloadingContext(ssl.SSLContext):
    """Hands each new connection to the newest context; open connections keep theirs."""

    _get_context: Callable[[], ssl.SSLContext]

    def __new__(cls, get_context: Callable[[], ssl.SSLContext]) -> Self:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._get_context = get_context
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection."""
        return self._get_context().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


@contextmanager
def _pem_path(pem: Pem) -> Iterator[Path]:
    """Give the file, or one for a moment that only we may read: OpenSSL takes nothing else."""
    if pem.file is not None:
        yield pem.file
        return
    descriptor, name = tempfile.mkstemp(prefix="insights-exporter-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(pem.inline.reveal())
        yield Path(name)
    finally:
        Path(name).unlink()


def _reject_encrypted_key() -> str:
    raise ValueError("the key is encrypted")


def _tls_config_error(key: str, expected: str, error: Exception) -> ConfigError:
    found = getattr(error, "strerror", None) or getattr(error, "reason", None) or "something else"
    file = getattr(error, "filename", None)
    return ConfigError(
        f"tls_server_config: {key}: expected {expected}, found: {found}{f' in {file}' if file else ''}."
    )
