"""Load the web configuration file, in the format of Prometheus' exporter-toolkit, and reload it on change."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from insights_exporter.clock import Clock
from insights_exporter.config.errors import quote
from insights_exporter.config.yaml_document import YamlDocument, YamlValue
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import Secret
from insights_exporter.server.auth.rate_limit import RateLimit
from insights_exporter.server.auth.tls import TlsConfig, read_tls, tls_context
from insights_exporter.telemetry import Telemetry

__all__ = ["WebConfig", "WebConfigReloader", "load_web_config"]

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


logger = structlog.stdlib.get_logger(__name__)

_StatSignature = tuple[tuple[int, int, int] | None, ...]


class WebConfigReloader:
    """Loads a web configuration file and reloads it on change; raises ConfigError if the first load fails.

    Each access costs one ``stat`` per file. After a failed reload the last valid configuration stays active;
    the failure is reported once, to the log and to ``telemetry``.
    """

    def __init__(self, path: Path, *, telemetry: Telemetry, clock: Clock) -> None:
        self._path = path
        self._telemetry = telemetry
        self._clock = clock
        # The signature is taken before the file is read, so a change in between causes another reload.
        config_signature = _stat_signature([path])
        config = load_web_config(path)
        files = _watched_files(path, config)
        self._signature = (*config_signature, *_stat_signature(files[1:]))
        self._context = tls_context(config.tls) if config.tls is not None else None
        self._config = config
        self._files = files

    @property
    def uses_tls(self) -> bool:
        """Whether the server uses TLS; a change needs a restart."""
        return self._context is not None

    def config(self) -> WebConfig:
        """Return the current configuration."""
        self._refresh()
        return self._config

    def context(self) -> ssl.SSLContext:
        """Return the current TLS context; raise ConfigError without TLS."""
        self._refresh()
        if self._context is None:
            raise ConfigError(f"{self._path}: expected tls_server_config, got none")
        return self._context

    def _refresh(self) -> None:
        signature = _stat_signature(self._files)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            config, context = self._load()
        except ConfigError as error:
            logger.error("web config reload failed", error=str(error))  # noqa: TRY400  # The message says it all.
            self._telemetry.config_reloaded(success=False, at=self._clock.now())
            return
        files = _watched_files(self._path, config)
        if files != self._files:
            self._files, self._signature = files, (signature[0], *_stat_signature(files[1:]))
        self._config, self._context = config, context
        logger.info("web config reloaded")
        self._telemetry.config_reloaded(success=True, at=self._clock.now())

    def _load(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        config = load_web_config(self._path)
        if (config.tls is None) != (self._context is None):
            before, after = ("on", "off") if self.uses_tls else ("off", "on")
            raise ConfigError(
                f"{self._path}: expected TLS to stay {before}, got {after}; restart to change it"
            )
        return config, tls_context(config.tls) if config.tls is not None else None


def _watched_files(path: Path, config: WebConfig) -> list[Path]:
    return [path, *(config.tls.files if config.tls is not None else ())]


def _stat_signature(files: Iterable[Path]) -> _StatSignature:
    return tuple(_stat_file(file) for file in files)


def _stat_file(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
