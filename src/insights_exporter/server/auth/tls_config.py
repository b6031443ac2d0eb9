"""The part of a web configuration that speaks of TLS, and what it becomes in OpenSSL."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from insights_exporter.config.yaml_document import YamlValue
from insights_exporter.secrets import Secret

__all__ = ["Pem", "TlsConfig", "read_tls"]

_CLIENT_AUTH: Final[Mapping[str, ssl.VerifyMode]] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED_CLIENT_AUTH: Final = ("RequestClientCert", "RequireAnyClientCert")
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
    verify_mode: ssl.VerifyMode
    allowed_sans: frozenset[str]
    minimum_version: ssl.TLSVersion
    maximum_version: ssl.TLSVersion
    ciphers: tuple[str, ...]
    prefer_server_ciphers: bool
    curve: str | None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files to watch."""
        pems = (self.cert, self.key, self.client_ca)
        return tuple(pem.file for pem in pems if pem is not None and pem.file is not None)


def read_tls(value: YamlValue) -> TlsConfig | None:
    """Read the part; None where there is no such part or it is empty."""
    fields = value.fields(_KEYS)
    if not any(field.present for field in fields.values()):
        return None
    cert, key = (_pem(value, fields, name) for name in ("cert", "key"))
    for name, pem in (("cert", cert), ("key", key)):
        if pem is None:
            value.add_problem(f"{name} or {name}_file", "neither")
    minimum_version, maximum_version = _versions(fields)
    verify_mode = _client_auth(fields["client_auth_type"])
    ciphers = _ciphers(fields["cipher_suites"])
    empty_pem = Pem(None, Secret(""))
    config = TlsConfig(
        cert=cert or empty_pem,
        key=key or empty_pem,
        client_ca=_pem(value, fields, "client_ca"),
        verify_mode=verify_mode,
        allowed_sans=frozenset(_sans(fields["client_allowed_sans"])),
        # A list with nothing for TLS 1.2 in it rules TLS 1.2 out.
        minimum_version=ssl.TLSVersion.TLSv1_3
        if ciphers == () and fields["cipher_suites"].elements()
        else minimum_version,
        maximum_version=maximum_version,
        ciphers=ciphers,
        prefer_server_ciphers=fields["prefer_server_cipher_suites"].boolean(default=True),
        curve=_curve(fields["curve_preferences"]),
    )
    _validate_combinations(config, fields)
    return config


def _pem(value: YamlValue, fields: Mapping[str, YamlValue], name: str) -> Pem | None:
    inline, file = Secret(fields[name].text()), fields[f"{name}_file"].path()
    if inline and file:
        value.add_problem(f"one of {name} and {name}_file", "both")
    return Pem(file, inline) if inline or file else None


def _client_auth(value: YamlValue) -> ssl.VerifyMode:
    if (text := value.text()) in _UNVERIFIED_CLIENT_AUTH:
        value.add_problem(
            f"one of {', '.join(_CLIENT_AUTH)}",
            f"{text}, which asks for certificates without verifying them; Python's TLS always verifies",
        )
        return ssl.CERT_NONE
    return _CLIENT_AUTH[value.choice(tuple(_CLIENT_AUTH), default="NoClientCert")]


def _versions(fields: Mapping[str, YamlValue]) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    versions = []
    for name, default in (("min_version", "TLS12"), ("max_version", "TLS13")):
        if (text := fields[name].text()) in _OLD_VERSIONS:
            fields[name].add_problem("TLS12 or TLS13", f"{text}, which is deprecated and not spoken here")
            versions.append(_VERSIONS[default])
        else:
            versions.append(_VERSIONS[fields[name].choice(tuple(_VERSIONS), default=default)])
    return versions[0], versions[1]


def _ciphers(value: YamlValue) -> tuple[str, ...]:
    names = []
    for element in value.elements():
        name = element.choice((*_TLS13_CIPHERS, *_CIPHERS), default="")
        if name in _CIPHERS:
            names.append(_CIPHERS[name])
    return tuple(names)


def _sans(value: YamlValue) -> Iterator[str]:
    for element in value.elements():
        text = element.text()
        if not text:
            element.add_problem("a name or an address", "nothing")
        yield text


def _curve(value: YamlValue) -> str | None:
    curves = [element.choice(tuple(_CURVES), default="") for element in value.elements()]
    if len(curves) > 1:
        value.add_problem("at most one curve, as Python's TLS takes no more", f"{len(curves)}")
    return _CURVES.get(curves[0]) if curves else None


def _validate_combinations(config: TlsConfig, fields: Mapping[str, YamlValue]) -> None:
    if config.client_ca is not None and config.verify_mode is ssl.CERT_NONE:
        fields["client_auth_type"].add_problem("a policy that verifies, beside client_ca", "none")
    if config.allowed_sans and config.verify_mode is ssl.CERT_NONE:
        fields["client_allowed_sans"].add_problem("a client_auth_type that verifies beside it", "none")
    if config.minimum_version > config.maximum_version:
        fields["max_version"].add_problem("no less than the minimum version and the ciphers ask for", "less")
