"""Endpoint of the OTLP receiver: from the settings, then from OpenTelemetry's environment variables.

``OTEL_EXPORTER_OTLP_METRICS_…`` overrides ``OTEL_EXPORTER_OTLP_…``. Invalid values raise ConfigError.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from insights_exporter.config.settings import OtlpProtocol, OtlpSettings
from insights_exporter.errors import ConfigError

__all__ = ["COMPRESSIONS", "Endpoint", "resolve_endpoint", "resolve_headers"]

COMPRESSIONS: Final[Mapping[OtlpProtocol, tuple[str, ...]]] = {
    OtlpProtocol.HTTP: ("none", "gzip", "deflate"),
    OtlpProtocol.GRPC: ("none", "gzip"),
}

_METRICS_PATH: Final = "/v1/metrics"
_DEFAULT_TIMEOUT: Final = 10.0
_MIN_TIMEOUT_MS: Final = 100
"""Milliseconds; a lower value was meant in seconds."""

_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Address and connection options of a receiver; a path is empty if it is not configured."""

    protocol: OtlpProtocol
    address: str
    encrypted: bool
    timeout: float = _DEFAULT_TIMEOUT
    compression: str = "none"
    ca_certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Configured certificate and key files."""
        return tuple(file for file in (self.ca_certificate, self.client_certificate, self.client_key) if file)


@dataclass(frozen=True, slots=True)
class _OtelVariables:
    """Lookup of ``OTEL_EXPORTER_OTLP_*`` variables."""

    environ: Mapping[str, str]

    def get(self, name: str) -> tuple[str, str]:
        """Return the name and the text of the variable that applies; the text is empty if none is set."""
        for variable in (f"OTEL_EXPORTER_OTLP_METRICS_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            if text := self.environ.get(variable, "").strip():
                return variable, text
        return f"OTEL_EXPORTER_OTLP_{name}", ""


def resolve_endpoint(settings: OtlpSettings, environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint of the receiver; raise ConfigError."""
    variables = _OtelVariables(environ)
    protocol = settings.protocol or _resolve_protocol(variables)
    address, encrypted = _resolve_address(settings.endpoint, variables, protocol)
    endpoint = Endpoint(
        protocol=protocol,
        address=address,
        encrypted=encrypted,
        timeout=settings.timeout or _resolve_timeout(variables),
        compression=_resolve_compression(variables, protocol),
        ca_certificate=variables.get("CERTIFICATE")[1],
        client_certificate=variables.get("CLIENT_CERTIFICATE")[1],
        client_key=variables.get("CLIENT_KEY")[1],
    )
    _check_certificates(endpoint, variables)
    return endpoint


def resolve_headers(settings: OtlpSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the current headers of a push; raise ConfigError, whose text has no header value."""
    name, text = _OtelVariables(environ).get("HEADERS")
    headers = _parse_headers(name, text)
    if settings.headers is not None:
        headers |= _parse_headers("otlp.headers", settings.headers.read().reveal())
    return headers


def _resolve_protocol(variables: _OtelVariables) -> OtlpProtocol:
    name, text = variables.get("PROTOCOL")
    try:
        return OtlpProtocol(text or OtlpProtocol.HTTP)
    except ValueError:
        expected = " or ".join(OtlpProtocol)
        raise ConfigError(f'{name}: expected {expected}, got "{text}"') from None


def _resolve_address(
    configured: str | None, variables: _OtelVariables, protocol: OtlpProtocol
) -> tuple[str, bool]:
    """Return the address of requests, and whether the connection uses TLS."""
    name, text = ("otlp.endpoint", configured) if configured else variables.get("ENDPOINT")
    if not text:
        text = "http://localhost:4318" if protocol is OtlpProtocol.HTTP else "http://localhost:4317"
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    # The text may contain a password, so the error does not repeat it.
    if not valid or "@" in parts.netloc:
        raise ConfigError(f"{name}: expected a URL with a host and without user and password")
    if protocol is OtlpProtocol.GRPC:
        _, insecure = variables.get("INSECURE")
        encrypted = parts.scheme == "https" or (not parts.scheme and insecure.lower() != "true")
        return parts.netloc, encrypted
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{name}: expected an http(s) URL")
    # By its specification the variable for metrics alone has the complete URL.
    is_complete = "_METRICS_" in name or parts.path.endswith(_METRICS_PATH)
    return text if is_complete else text.rstrip("/") + _METRICS_PATH, parts.scheme == "https"


def _resolve_timeout(variables: _OtelVariables) -> float:
    name, text = variables.get("TIMEOUT")
    if not text:
        return _DEFAULT_TIMEOUT
    if not text.isascii() or not text.isdigit() or int(text) < _MIN_TIMEOUT_MS:
        raise ConfigError(f'{name}: expected milliseconds, at least {_MIN_TIMEOUT_MS}, got "{text}"')
    return int(text) / 1000


def _resolve_compression(variables: _OtelVariables, protocol: OtlpProtocol) -> str:
    name, text = variables.get("COMPRESSION")
    supported = COMPRESSIONS[protocol]
    if text and text not in supported:
        raise ConfigError(f'{name}: expected {", ".join(supported)} for {protocol}, got "{text}"')
    return text or "none"


def _parse_headers(name: str, text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for pair in text.split(","):
        header, separator, value = (unquote(part).strip() for part in pair.partition("="))
        if not pair.strip():
            continue
        if not separator or not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"{name}: expected comma-separated pairs name=value")
        headers[header.lower()] = value
    return headers


def _check_certificates(endpoint: Endpoint, variables: _OtelVariables) -> None:
    context = ssl.create_default_context()
    if endpoint.ca_certificate:
        try:
            context.load_verify_locations(endpoint.ca_certificate)
        except (OSError, ssl.SSLError) as error:
            raise _certificate_error(variables.get("CERTIFICATE")[0], "a certificate file", error) from None
    if endpoint.client_certificate or endpoint.client_key:
        name, _ = variables.get("CLIENT_CERTIFICATE")
        if not endpoint.client_certificate:
            raise ConfigError(f"{name}: expected a certificate file for the client key, got none")
        try:
            context.load_cert_chain(
                endpoint.client_certificate, endpoint.client_key or None, password=_empty_password
            )
        except (OSError, ssl.SSLError) as error:
            raise _certificate_error(name, "a certificate file with its key", error) from None


def _empty_password() -> str:
    # Without a callback OpenSSL prompts for the password on the terminal.
    return ""


def _certificate_error(name: str, expected: str, error: OSError) -> ConfigError:
    return ConfigError(f"{name}: expected {expected}: {error.strerror or 'unreadable'}")
