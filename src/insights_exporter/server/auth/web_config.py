"""Load the web configuration file, in the format of Prometheus' exporter-toolkit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from insights_exporter.config.errors import quote
from insights_exporter.config.yaml_document import YamlDocument, YamlValue
from insights_exporter.secrets import Secret
from insights_exporter.server.auth.rate_limit import RateLimit
from insights_exporter.server.auth.tls_config import TlsConfig, read_tls

__all__ = ["WebConfig", "load_web_config"]

_ALLOWED_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""Headers that may be configured, each with its allowed values; an empty tuple allows all."""

_BCRYPT_HASH: Final = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}", re.ASCII)
_VALID_SALT: Final = re.compile(r".{28}[.Oeu].{31}", re.ASCII)
"""A hash whose salt has exactly 128 bits; other final characters have bits that bcrypt does not use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """A web configuration; ``users`` maps usernames to bcrypt hashes."""

    tls: TlsConfig | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Secret] = field(default_factory=dict)
    rate_limit: RateLimit | None = None


def load_web_config(path: Path) -> WebConfig:
    """Load a web configuration file; raise ConfigError with every problem and its line."""
    document = YamlDocument(path)
    sections = document.root().fields(
        ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
    )
    config = WebConfig(
        tls=read_tls(sections["tls_server_config"]),
        headers=_headers(sections["http_server_config"]),
        users=_users(sections["basic_auth_users"]),
        rate_limit=_rate_limit(sections["rate_limit"]),
    )
    document.raise_problems()
    return config


def _headers(value: YamlValue) -> dict[str, str]:
    fields = value.fields(("http2", "headers"))
    # Validated and otherwise ignored: clients negotiate HTTP/2 in the TLS handshake, and get HTTP/1.1.
    fields["http2"].boolean(default=True)
    headers = {}
    for name, entry in fields["headers"].items():
        text = _header_value(entry.text())
        if name not in _ALLOWED_HEADERS:
            entry.add_problem(f"one of {', '.join(_ALLOWED_HEADERS)}", "another header")
        elif _ALLOWED_HEADERS[name] and text not in _ALLOWED_HEADERS[name]:
            entry.add_problem(" or ".join(_ALLOWED_HEADERS[name]), quote(text))
        elif not text.isprintable() or not text.isascii():
            entry.add_problem("printable ASCII", "other characters")
        else:
            headers[name] = text
    return headers


def _header_value(text: str) -> str:
    """Return a header value on one line, as Go's HTTP server sends it."""
    return text.replace("\r", " ").replace("\n", " ").strip(" \t")


def _users(value: YamlValue) -> dict[str, Secret]:
    users = {}
    for name, entry in value.items():
        text = entry.text()
        if not _BCRYPT_HASH.fullmatch(text):
            # The value may be a password, so the message does not quote it.
            entry.add_problem("a bcrypt hash ($2a$, $2b$ or $2y$, cost 04 to 31)", "another text")
        elif not _VALID_SALT.fullmatch(text):
            entry.add_problem("a bcrypt hash with a salt of 128 bits", "a hash with another salt")
        elif ":" in name:
            entry.add_problem("a username without a colon, because of HTTP basic authentication", "a colon")
        else:
            users[name] = Secret(text)
    return users


def _rate_limit(value: YamlValue) -> RateLimit | None:
    fields = value.fields(("interval", "burst"))
    problems_before = len(value.document.problems)
    interval, burst = fields["interval"].duration(), fields["burst"].integer()
    is_valid = len(value.document.problems) == problems_before
    if is_valid and interval > 0 and burst == 0:
        value.add_problem("a burst of at least 1 with an interval", "0, which rejects every request")
    return RateLimit(interval, burst) if interval > 0 else None
