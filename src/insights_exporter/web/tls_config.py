"""The part of a web configuration that speaks of TLS, and what it becomes in OpenSSL."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from insights_exporter.secret import Secret
from insights_exporter.web.document import Value

__all__ = ["Pem", "TlsConfig", "read_tls"]

_CLIENT_AUTH: Final[Mapping[str, ssl.VerifyMode]] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED: Final = ("RequestClientCert", "RequireAnyClientCert")
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
_NEWEST_CIPHERS: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Ciphers of TLS 1.3, which cannot be chosen among, in Go or here."""
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


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key: a file, or the text itself."""

    file: Path | None
    inline: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """How connections are encrypted; the names of ``ciphers`` and ``curve`` are those of OpenSSL."""

    cert: Pem
    key: Pem
    client_ca: Pem | None
    verify: ssl.VerifyMode
    allowed_sans: frozenset[str]
    minimum: ssl.TLSVersion
    maximum: ssl.TLSVersion
    ciphers: tuple[str, ...]
    server_order: bool
    curve: str | None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files to watch."""
        parts = (self.cert, self.key, self.client_ca)
        return tuple(part.file for part in parts if part is not None and part.file is not None)


def read_tls(value: Value) -> TlsConfig | None:
    """Read the part; None where there is no such part or it is empty."""
    parts = value.fields(_KEYS)
    if not any(part.present for part in parts.values()):
        return None
    cert, key = (_pem(value, parts, name) for name in ("cert", "key"))
    for name, pem in (("cert", cert), ("key", key)):
        if pem is None:
            value.refuse(f"{name} or {name}_file", "neither")
    minimum, maximum = _versions(parts)
    verify = _client_auth(parts["client_auth_type"])
    ciphers = _ciphers(parts["cipher_suites"])
    nothing = Pem(None, Secret(""))
    config = TlsConfig(
        cert=cert or nothing,
        key=key or nothing,
        client_ca=_pem(value, parts, "client_ca"),
        verify=verify,
        allowed_sans=frozenset(_sans(parts["client_allowed_sans"])),
        # A list with nothing for TLS 1.2 in it rules TLS 1.2 out.
        minimum=ssl.TLSVersion.TLSv1_3 if ciphers == () and parts["cipher_suites"].texts() else minimum,
        maximum=maximum,
        ciphers=ciphers,
        server_order=parts["prefer_server_cipher_suites"].flag(default=True),
        curve=_curve(parts["curve_preferences"]),
    )
    _check_together(config, parts)
    return config


def _pem(value: Value, parts: Mapping[str, Value], name: str) -> Pem | None:
    inline, file = Secret(parts[name].text()), parts[f"{name}_file"].file()
    if inline and file:
        value.refuse(f"one of {name} and {name}_file", "both")
    return Pem(file, inline) if inline or file else None


def _client_auth(value: Value) -> ssl.VerifyMode:
    if (text := value.text()) in _UNVERIFIED:
        value.refuse(
            f"one of {', '.join(_CLIENT_AUTH)}",
            f"{text}, which asks for certificates without verifying them; Python's TLS always verifies",
        )
        return ssl.CERT_NONE
    return _CLIENT_AUTH[value.choice(tuple(_CLIENT_AUTH), default="NoClientCert")]


def _versions(parts: Mapping[str, Value]) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    found = []
    for name, default in (("min_version", "TLS12"), ("max_version", "TLS13")):
        if (text := parts[name].text()) in _OLD_VERSIONS:
            parts[name].refuse("TLS12 or TLS13", f"{text}, which is deprecated and not spoken here")
            found.append(_VERSIONS[default])
        else:
            found.append(_VERSIONS[parts[name].choice(tuple(_VERSIONS), default=default)])
    return found[0], found[1]


def _ciphers(value: Value) -> tuple[str, ...]:
    names = []
    for one in value.texts():
        name = one.choice((*_NEWEST_CIPHERS, *_CIPHERS), default="")
        if name in _CIPHERS:
            names.append(_CIPHERS[name])
    return tuple(names)


def _sans(value: Value) -> Iterator[str]:
    for one in value.texts():
        text = one.text()
        if not text:
            one.refuse("a name or an address", "nothing")
        yield text


def _curve(value: Value) -> str | None:
    named = [one.choice(tuple(_CURVES), default="") for one in value.texts()]
    if len(named) > 1:
        value.refuse("at most one curve, as Python's TLS takes no more", f"{len(named)}")
    return _CURVES.get(named[0]) if named else None


def _check_together(config: TlsConfig, parts: Mapping[str, Value]) -> None:
    if config.client_ca is not None and config.verify is ssl.CERT_NONE:
        parts["client_auth_type"].refuse("a policy that verifies, beside client_ca", "none")
    if config.allowed_sans and config.verify is ssl.CERT_NONE:
        parts["client_allowed_sans"].refuse("a client_auth_type that verifies beside it", "none")
    if config.minimum > config.maximum:
        parts["max_version"].refuse("no less than the minimum version and the ciphers ask for", "less")
