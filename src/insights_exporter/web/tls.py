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
from insights_exporter.web.tls_config import Pem, TlsConfig

__all__ = ["reloading_context", "tls_context"]


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a server's context; raise ConfigError that names what is wrong with a certificate or key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = config.minimum, config.maximum
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if config.server_order:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if config.ciphers:
        context.set_ciphers(":".join(config.ciphers))
    if config.curve:
        context.set_ecdh_curve(config.curve)
    _load_own(context, config)
    _load_clients(context, config)
    return context


def _load_own(context: ssl.SSLContext, config: TlsConfig) -> None:
    try:
        with _as_file(config.cert) as cert, _as_file(config.key) as key:
            # An encrypted key would make OpenSSL ask at a terminal that is not there.
            context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise _unusable("cert, key", "a certificate and its own unencrypted key in PEM form", error) from None


def _load_clients(context: ssl.SSLContext, config: TlsConfig) -> None:
    context.verify_mode = config.verify
    try:
        if config.client_ca is not None:
            with _as_file(config.client_ca) as file:
                context.load_verify_locations(file)
        elif config.verify is not ssl.CERT_NONE:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except (OSError, ValueError) as error:
        raise _unusable("client_ca", "certificates in PEM form", error) from None


def reloading_context(current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return a context for asyncio whose new connections each take the context that ``current`` returns."""
    return _Reloading(current)


class _Reloading(ssl.SSLContext):
    """Hands each new connection to the newest context; open connections keep theirs."""

    _current: Callable[[], ssl.SSLContext]

    def __new__(cls, current: Callable[[], ssl.SSLContext]) -> Self:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._current = current
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature is Python's.
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection."""
        return self._current().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


@contextmanager
def _as_file(pem: Pem) -> Iterator[Path]:
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


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _unusable(key: str, expected: str, error: Exception) -> ConfigError:
    found = getattr(error, "strerror", None) or getattr(error, "reason", None) or "something else"
    file = getattr(error, "filename", None)
    return ConfigError(
        f"tls_server_config: {key}: expected {expected}, found: {found}{f' in {file}' if file else ''}."
    )
