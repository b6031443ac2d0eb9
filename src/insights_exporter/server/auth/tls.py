"""TLS of a web configuration: read its section, create the context, use the current one per connection."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog

from insights_exporter.config.errors import quote
from insights_exporter.config.yaml_document import YamlValue
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import Secret

__all__ = ["Pem", "TlsConfig", "read_tls", "reloading_context", "tls_context"]

logger = structlog.stdlib.get_logger(__name__)

_CLIENT_AUTH: Final[Mapping[str, ssl.VerifyMode]] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED_CLIENT_AUTH: Final = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = {
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_OLD_VERSIONS: Final = ("TLS10", "TLS11")
_CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_TLS13_CIPHERS: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Cipher suites of TLS 1.3; neither Go nor Python can select among them."""
_CIPHERS: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
_KEYS: Final = (
    "cert", "key", "cert_file", "key_file", "client_auth_type", "client_ca", "client_ca_file",
    "client_allowed_sans", "min_version", "max_version", "cipher_suites", "prefer_server_cipher_suites",
    "curve_preferences",
)  # fmt: skip
_ENABLING_KEYS: Final = (
    "cert", "key", "cert_file", "key_file", "client_auth_type", "client_ca", "client_ca_file",
)  # fmt: skip
"""Keys that turn TLS on; without any of them the server uses plain HTTP, whatever the others are."""


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a private key in PEM form, in a file or inline.

    ``origin`` is the location and the key in the web configuration file, for error messages.
    """

    file: Path | None
    inline: Secret
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """TLS settings; ``ciphers`` and ``curves`` have OpenSSL's names, empty means OpenSSL's default."""

    cert: Pem
    key: Pem
    client_ca: Pem | None
    verify_mode: ssl.VerifyMode
    allowed_sans: frozenset[str]
    minimum_version: ssl.TLSVersion
    maximum_version: ssl.TLSVersion
    ciphers: tuple[str, ...]
    prefer_server_ciphers: bool
    curves: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """Files to watch for changes."""
        pems = (self.cert, self.key, self.client_ca)
        return tuple(pem.file for pem in pems if pem is not None and pem.file is not None)


def read_tls(value: YamlValue) -> TlsConfig | None:
    """Return the TLS settings; None if the section turns TLS off."""
    fields = value.fields(_KEYS)
    # The settings are validated even if TLS is off, as exporter-toolkit does.
    verify_mode = _client_auth(fields["client_auth_type"])
    minimum_version = _version(fields["min_version"], default="TLS12")
    maximum_version = _version(fields["max_version"], default="TLS13")
    ciphers = _ciphers(fields["cipher_suites"])
    curves = _curves(fields["curve_preferences"])
    prefer_server_ciphers = fields["prefer_server_cipher_suites"].boolean(default=True)
    allowed_sans = _sans(fields["client_allowed_sans"])
    if fields["cipher_suites"].elements() and not ciphers:
        # A list without a cipher suite for TLS 1.2 excludes TLS 1.2.
        minimum_version = ssl.TLSVersion.TLSv1_3
    if minimum_version > maximum_version:
        fields["max_version"].add_problem(
            "at least the minimum version, which also depends on the cipher suites", "a lower version"
        )
    if not any(fields[key].text() for key in _ENABLING_KEYS):
        return None
    client_ca = _pem(fields, "client_ca")
    if client_ca is not None and verify_mode is ssl.CERT_NONE:
        fields["client_auth_type"].add_problem("a type that verifies certificates, with client_ca", "none")
    if allowed_sans and verify_mode is ssl.CERT_NONE:
        # Released versions of exporter-toolkit accept this and do not check names either.
        logger.warning(
            "client_allowed_sans ignored",
            file=str(value.document.path),
            reason="client_auth_type verifies no certificates",
        )
    return TlsConfig(
        cert=_required_pem(value, fields, "cert"),
        key=_required_pem(value, fields, "key"),
        client_ca=client_ca,
        verify_mode=verify_mode,
        allowed_sans=allowed_sans,
        minimum_version=minimum_version,
        maximum_version=maximum_version,
        ciphers=ciphers,
        prefer_server_ciphers=prefer_server_ciphers,
        curves=curves,
    )


def _required_pem(value: YamlValue, fields: Mapping[str, YamlValue], name: str) -> Pem:
    pem = _pem(fields, name)
    if pem is None:
        value.add_problem(f"{name} or {name}_file", "neither")
        return Pem(None, Secret(""), value.location)
    return pem


def _pem(fields: Mapping[str, YamlValue], name: str) -> Pem | None:
    """Return a PEM; the file wins over inline text, as in exporter-toolkit."""
    file_field, inline_field = fields[f"{name}_file"], fields[name]
    if (file := file_field.path()) is not None:
        try:
            file.open("rb").close()
        except OSError as error:
            file_field.add_problem("a readable file", f"{quote(str(file))} ({error.strerror})")
        return Pem(file, Secret(""), f"{file_field.location}: {file_field.key}")
    if inline := inline_field.text():
        return Pem(None, Secret(inline), f"{inline_field.location}: {inline_field.key}")
    return None


def _client_auth(value: YamlValue) -> ssl.VerifyMode:
    if (text := value.text()) in _UNVERIFIED_CLIENT_AUTH:
        value.add_problem(
            f"one of {', '.join(_CLIENT_AUTH)}",
            f"{text}, which requests certificates without verification; Python always verifies them",
        )
        return ssl.CERT_NONE
    return _CLIENT_AUTH[value.choice(tuple(_CLIENT_AUTH), default="NoClientCert")]


def _version(value: YamlValue, *, default: str) -> ssl.TLSVersion:
    if not value.present:
        return _VERSIONS[default]
    text = value.text()
    if text in _VERSIONS:
        return _VERSIONS[text]
    found = f"{text}, which is deprecated" if text in _OLD_VERSIONS else quote(text)
    value.add_problem(" or ".join(_VERSIONS), found)
    return _VERSIONS[default]


def _ciphers(value: YamlValue) -> tuple[str, ...]:
    names = []
    for element in value.elements():
        name = element.text()
        if name in _CIPHERS:
            names.append(_CIPHERS[name])
        elif name not in _TLS13_CIPHERS:
            element.add_problem(f"one of {', '.join((*_TLS13_CIPHERS, *_CIPHERS))}", quote(name))
    return tuple(names)


def _sans(value: YamlValue) -> frozenset[str]:
    names = set()
    for element in value.elements():
        if text := element.text():
            names.add(text)
        else:
            element.add_problem("a name or an address", "nothing")
    return frozenset(names)


def _curves(value: YamlValue) -> tuple[str, ...]:
    """Return the curves to configure; all curves together are OpenSSL's default."""
    curves = []
    for element in value.elements():
        name = element.text()
        if name in _CURVES:
            curves.append(_CURVES[name])
        else:
            element.add_problem(f"one of {', '.join(_CURVES)}", quote(name))
    if set(curves) == set(_CURVES.values()):
        return ()
    if len(set(curves)) > 1 and not hasattr(ssl.SSLContext, "set_groups"):
        value.add_problem(
            "one curve or all of them, because this version of Python can select only one",
            f"{len(set(curves))} curves",
        )
    return tuple(dict.fromkeys(curves))


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
