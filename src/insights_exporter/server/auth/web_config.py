"""The web configuration file, in the format that Prometheus and its exporters share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from insights_exporter.config.yaml_document import YamlDocument, YamlValue
from insights_exporter.secrets import Secret
from insights_exporter.server.auth.tls_config import TlsConfig, read_tls

__all__ = ["RateLimit", "WebConfig", "load_web_config"]

_ALLOWED_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""Headers that may be set, each with the values it may have; no values mean any."""

_BCRYPT_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}", re.ASCII)
_VALID_SALT = re.compile(r".{28}[.Oeu].{31}", re.ASCII)
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
    rate_limit: RateLimit | None = None


def load_web_config(path: Path) -> WebConfig:
    """Read a web configuration file; raise ConfigError that names every problem with its line."""
    document = YamlDocument(path)
    sections = document.root().fields(
        ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
    )
    config = WebConfig(
        tls=read_tls(sections["tls_server_config"]),
        headers=_headers(sections["http_server_config"], tls=sections["tls_server_config"].present),
        users=_users(sections["basic_auth_users"]),
        rate_limit=_rate_limit(sections["rate_limit"]),
    )
    document.raise_problems()
    return config


def _headers(value: YamlValue, *, tls: bool) -> dict[str, str]:
    fields = value.fields(("http2", "headers"))
    # HTTP/2 is permitted, never demanded: clients find out in the handshake that we speak HTTP/1.1.
    fields["http2"].boolean(default=tls)
    headers = {}
    for name, entry in fields["headers"].items():
        text = entry.text()
        if name not in _ALLOWED_HEADERS:
            entry.add_problem(f"one of {', '.join(_ALLOWED_HEADERS)}", "a header that cannot be configured")
        elif _ALLOWED_HEADERS[name] and text not in _ALLOWED_HEADERS[name]:
            entry.add_problem(" or ".join(_ALLOWED_HEADERS[name]), repr(text[:60]))
        elif not text.isprintable() or not text.isascii():
            entry.add_problem("one line of ASCII", "other characters")
        else:
            headers[name] = text
    return headers


def _users(value: YamlValue) -> dict[str, Secret]:
    users = {}
    for name, entry in value.items():
        text = entry.text()
        if not _BCRYPT_HASH.fullmatch(text):
            # What stands there instead may be a password.
            entry.add_problem("a bcrypt hash ($2a$, $2b$ or $2y$, cost 04 to 31)", "something else")
        elif not _VALID_SALT.fullmatch(text):
            entry.add_problem("a bcrypt hash as programs make it", "one with an impossible salt")
        elif ":" in name:
            entry.add_problem("a name without a colon, which basic authentication cannot carry", "one")
        else:
            users[name] = Secret(text)
    return users


def _rate_limit(value: YamlValue) -> RateLimit | None:
    fields = value.fields(("interval", "burst"))
    interval, burst = fields["interval"].duration(), fields["burst"].integer()
    if interval > 0 and burst == 0 and not value.document.problems:
        value.add_problem(
            "a burst of at least 1 beside an interval", "none, which would refuse every request"
        )
    return RateLimit(interval, burst) if interval > 0 else None
