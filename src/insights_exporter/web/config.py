"""The web configuration file, in the format that Prometheus and its exporters share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from insights_exporter.secret import Secret
from insights_exporter.web.document import Document, Value
from insights_exporter.web.tls_config import TlsConfig, read_tls

__all__ = ["RateLimit", "WebConfig", "load"]

_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""Headers that may be set, each with the values it may have; no values mean any."""

_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}", re.ASCII)
_SALT = re.compile(r".{28}[.Oeu].{31}", re.ASCII)
"""A hash whose salt is of 128 bits and not of a few more, which no program makes and none could check."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One request each ``interval`` seconds, and ``burst`` at once."""

    interval: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """What a web configuration file says; ``users`` maps names to bcrypt hashes."""

    tls: TlsConfig | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Secret] = field(default_factory=dict)
    rate: RateLimit | None = None


def load(path: Path) -> WebConfig:
    """Read a web configuration file; raise ConfigError that names every problem with its line."""
    document = Document(path)
    parts = document.root().fields(
        ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
    )
    config = WebConfig(
        tls=read_tls(parts["tls_server_config"]),
        headers=_headers(parts["http_server_config"], tls=parts["tls_server_config"].present),
        users=_users(parts["basic_auth_users"]),
        rate=_rate(parts["rate_limit"]),
    )
    document.finish()
    return config


def _headers(value: Value, *, tls: bool) -> dict[str, str]:
    parts = value.fields(("http2", "headers"))
    # HTTP/2 is permitted, never demanded: clients find out in the handshake that we speak HTTP/1.1.
    parts["http2"].flag(default=tls)
    headers = {}
    for name, one in parts["headers"].items():
        text = one.text()
        if name not in _HEADERS:
            one.refuse(f"one of {', '.join(_HEADERS)}", "a header that cannot be configured")
        elif _HEADERS[name] and text not in _HEADERS[name]:
            one.refuse(" or ".join(_HEADERS[name]), repr(text[:60]))
        elif not text.isprintable() or not text.isascii():
            one.refuse("one line of ASCII", "other characters")
        else:
            headers[name] = text
    return headers


def _users(value: Value) -> dict[str, Secret]:
    users = {}
    for name, one in value.items():
        text = one.text()
        if not _HASH.fullmatch(text):
            # What stands there instead may be a password.
            one.refuse("a bcrypt hash ($2a$, $2b$ or $2y$, cost 04 to 31)", "something else")
        elif not _SALT.fullmatch(text):
            one.refuse("a bcrypt hash as programs make it", "one with an impossible salt")
        elif ":" in name:
            one.refuse("a name without a colon, which basic authentication cannot carry", "one")
        else:
            users[name] = Secret(text)
    return users


def _rate(value: Value) -> RateLimit | None:
    parts = value.fields(("interval", "burst"))
    interval, burst = parts["interval"].seconds(), parts["burst"].whole()
    if interval > 0 and burst == 0 and not value.document.problems:
        value.refuse("a burst of at least 1 beside an interval", "none, which would refuse every request")
    return RateLimit(interval, burst) if interval > 0 else None
