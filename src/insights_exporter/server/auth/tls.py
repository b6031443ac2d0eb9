"""Create the TLS context of a web configuration, and use the current one for each new connection."""

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
    """Return the context of a server; raise ConfigError for invalid certificates and keys."""
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
    _set_curves(context, config.curves)
    _load_server_cert(context, config)
    _load_client_ca(context, config)
    return context


def _set_curves(context: ssl.SSLContext, curves: tuple[str, ...]) -> None:
    if len(curves) == 1:
        context.set_ecdh_curve(curves[0])
    elif curves:
        # Python has it since 3.15; `tls_config` rejects several curves without it.
        context.set_groups(":".join(curves))  # type: ignore[attr-defined]  # The stubs are of Python 3.11.


def _load_server_cert(context: ssl.SSLContext, config: TlsConfig) -> None:
    try:
        with _pem_path(config.cert) as cert, _pem_path(config.key) as key:
            # Without a password callback OpenSSL prompts on the terminal for an encrypted key.
            context.load_cert_chain(cert, key, password=_reject_encrypted_key)
    except (OSError, ValueError) as error:
        expected = "a certificate and its unencrypted private key in PEM form"
        raise _invalid_pem(f"{config.cert.origin}, {config.key.origin}", expected, error) from None


def _load_client_ca(context: ssl.SSLContext, config: TlsConfig) -> None:
    context.verify_mode = config.verify_mode
    if config.client_ca is None:
        if config.verify_mode is not ssl.CERT_NONE:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    try:
        with _pem_path(config.client_ca) as file:
            context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        raise _invalid_pem(config.client_ca.origin, "certificates in PEM form", error) from None


def reloading_context(get_context: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return a context for asyncio that uses the result of ``get_context`` for each new connection."""
    return _ReloadingContext(get_context)


class _ReloadingContext(ssl.SSLContext):
    """Delegates each new connection to the current context; open connections keep theirs."""

    _get_context: Callable[[], ssl.SSLContext]

    def __new__(cls, get_context: Callable[[], ssl.SSLContext]) -> Self:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._get_context = get_context
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # The signature of the overridden method.
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Start the TLS session of a new connection."""
        return self._get_context().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


@contextmanager
def _pem_path(pem: Pem) -> Iterator[Path]:
    """Yield a path of the PEM, because OpenSSL reads only files; inline text gets a temporary file."""
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
    raise ValueError("an encrypted key")


def _invalid_pem(origin: str, expected: str, error: Exception) -> ConfigError:
    # OpenSSL's reason is a name such as KEY_VALUES_MISMATCH; its message has line numbers of C files.
    found = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return ConfigError(f"{origin}: expected {expected}, got {found}")
