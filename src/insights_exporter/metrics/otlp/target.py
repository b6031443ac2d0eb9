"""Where pushes go and how: what the configuration says, and the standard variables where it says nothing.

For each variable there is one for metrics alone, which wins. Faults of either raise ConfigError.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from insights_exporter.errors import ConfigError
from insights_exporter.settings import OtlpProtocol, OtlpSettings

__all__ = ["COMPRESSIONS", "Target", "headers_of", "target_of"]

COMPRESSIONS: Final[Mapping[OtlpProtocol, tuple[str, ...]]] = {
    OtlpProtocol.HTTP: ("none", "gzip", "deflate"),
    OtlpProtocol.GRPC: ("none", "gzip"),
}

_PATH: Final = "/v1/metrics"
_TIMEOUT: Final = 10.0
_SHORTEST: Final = 100
"""Milliseconds; who says less means seconds."""

_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A receiver, and how it is spoken to; paths are empty where nothing was said."""

    protocol: OtlpProtocol
    endpoint: str
    encrypted: bool
    timeout: float = _TIMEOUT
    compression: str = "none"
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The files that a connection needs."""
        return tuple(one for one in (self.certificate, self.client_certificate, self.client_key) if one)


@dataclass(frozen=True, slots=True)
class _Variables:
    """The standard variables."""

    environ: Mapping[str, str]

    def get(self, name: str) -> tuple[str, str]:
        """Return the name of the variable that decides, and its text."""
        for full in (f"OTEL_EXPORTER_OTLP_METRICS_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            if text := self.environ.get(full, "").strip():
                return full, text
        return f"OTEL_EXPORTER_OTLP_{name}", ""


def target_of(settings: OtlpSettings, environ: Mapping[str, str]) -> Target:
    """Return where pushes go; raise ConfigError."""
    said = _Variables(environ)
    protocol = settings.protocol or _protocol(said)
    endpoint, encrypted = _endpoint(settings.endpoint, said, protocol)
    target = Target(
        protocol=protocol,
        endpoint=endpoint,
        encrypted=encrypted,
        timeout=settings.timeout or _timeout(said),
        compression=_compression(said, protocol),
        certificate=said.get("CERTIFICATE")[1],
        client_certificate=said.get("CLIENT_CERTIFICATE")[1],
        client_key=said.get("CLIENT_KEY")[1],
    )
    _check_certificates(target, said)
    return target


def headers_of(settings: OtlpSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a push as they stand now; raise ConfigError, which repeats none of them."""
    name, text = _Variables(environ).get("HEADERS")
    headers = _headers(name, text)
    if settings.headers is not None:
        headers |= _headers("otlp.headers", settings.headers.read().reveal())
    return headers


def _protocol(said: _Variables) -> OtlpProtocol:
    name, text = said.get("PROTOCOL")
    try:
        return OtlpProtocol(text or OtlpProtocol.HTTP)
    except ValueError:
        expected = " or ".join(OtlpProtocol)
        raise ConfigError(f"{name}: expected {expected}, found {text!r}.") from None


def _endpoint(configured: str | None, said: _Variables, protocol: OtlpProtocol) -> tuple[str, bool]:
    """Return the address that requests go to, and whether they are encrypted."""
    name, text = ("otlp.endpoint", configured) if configured else said.get("ENDPOINT")
    if not text:
        text = "http://localhost:4318" if protocol is OtlpProtocol.HTTP else "http://localhost:4317"
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    # The text may hold a password, so nothing of it is repeated.
    if not valid or "@" in parts.netloc:
        raise ConfigError(f"{name}: expected an address without user and password, found something else.")
    if protocol is OtlpProtocol.GRPC:
        _, insecure = said.get("INSECURE")
        encrypted = parts.scheme == "https" or (not parts.scheme and insecure.lower() != "true")
        return parts.netloc, encrypted
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{name}: expected an address of http or https, found another.")
    # The variable for metrics alone has the whole address, by its specification.
    whole = "_METRICS_" in name or parts.path.endswith(_PATH)
    return text if whole else text.rstrip("/") + _PATH, parts.scheme == "https"


def _timeout(said: _Variables) -> float:
    name, text = said.get("TIMEOUT")
    if not text:
        return _TIMEOUT
    if not text.isascii() or not text.isdigit() or int(text) < _SHORTEST:
        raise ConfigError(f"{name}: expected milliseconds from {_SHORTEST} on, found {text!r}.")
    return int(text) / 1000


def _compression(said: _Variables, protocol: OtlpProtocol) -> str:
    name, text = said.get("COMPRESSION")
    known = COMPRESSIONS[protocol]
    if text and text not in known:
        raise ConfigError(f"{name}: expected {', '.join(known)} for {protocol}, found {text!r}.")
    return text or "none"


def _headers(name: str, text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for pair in text.split(","):
        header, equals, value = (unquote(part).strip() for part in pair.partition("="))
        if not pair.strip():
            continue
        if not equals or not _NAME.fullmatch(header) or not _VALUE.fullmatch(value):
            raise ConfigError(
                f"{name}: expected pairs such as name=value with commas between, found another."
            )
        headers[header.lower()] = value
    return headers


def _check_certificates(target: Target, said: _Variables) -> None:
    context = ssl.create_default_context()
    if target.certificate:
        try:
            context.load_verify_locations(target.certificate)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(said.get("CERTIFICATE")[0], "the file of a certificate", error) from None
    if target.client_certificate or target.client_key:
        name, _ = said.get("CLIENT_CERTIFICATE")
        if not target.client_certificate:
            raise ConfigError(f"{name}: expected the file that belongs to the client's key, found none.")
        try:
            context.load_cert_chain(
                target.client_certificate, target.client_key or None, password=_no_password
            )
        except (OSError, ssl.SSLError) as error:
            raise _unusable(name, "a certificate with its key", error) from None


def _no_password() -> str:
    # OpenSSL would ask for it at the terminal.
    return ""


def _unusable(name: str, expected: str, error: OSError) -> ConfigError:
    return ConfigError(f"{name}: expected {expected}, found none: {error.strerror or 'unreadable'}.")
