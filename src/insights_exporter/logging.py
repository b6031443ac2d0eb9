"""Log lines: an event with keys, as text or JSON, without secrets.

``logger.info("Poll finished.", extra={"seconds": 1.5})`` becomes
``2026-01-14T10:20:00.000Z info Poll finished. seconds=1.5``.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from insights_exporter.config.settings import LogFormat, LogSettings, Settings
from insights_exporter.errors import SecretError
from insights_exporter.secrets import MASK, SecretSource

__all__ = ["JsonFormatter", "Redactor", "TextFormatter", "configure", "secret_sources"]

TOKEN_PATTERN: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{10}-[0-9A-Za-z]{22}(?![0-9A-Za-z])")
"""What a session token of Coder looks like, so that one that was rotated away stays hidden, too."""

URL_PASSWORD_PATTERN: Final = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*(?=@)")

_STANDARD_ATTRIBUTES = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)) | {"message": "", "asctime": "", "taskName": ""}
)
_RESERVED_KEYS = frozenset(("time", "level", "event", "logger"))
_UNQUOTED_PATTERN = re.compile(r'[^\s"=\\]+')
_MIN_SECRET_LENGTH = 4
"""Texts shorter than this are no secrets, and hiding them would hide everything."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces secrets in texts by their mask; the sources are read at use, as secrets rotate."""

    sources: Sequence[SecretSource] = field(default=(), repr=False)

    def __call__(self, text: str) -> str:
        """Return the text without any secret."""
        for secret in self._secrets():
            text = text.replace(secret, MASK)
        return URL_PASSWORD_PATTERN.sub(MASK, TOKEN_PATTERN.sub(MASK, text))

    def _secrets(self) -> list[str]:
        secrets: set[str] = set()
        for source in self.sources:
            try:
                secret = source.read().reveal()
            except SecretError:
                continue
            secrets |= {secret, *_secret_components(secret)}
        # A secret may hold another.
        return sorted((text for text in secrets if len(text) >= _MIN_SECRET_LENGTH), key=len, reverse=True)


def _secret_components(secret: str) -> Iterable[str]:
    """Return what of a secret is one by itself.

    That is the password of an address, as it is written and as it is meant, and the values of headers
    (``name=Bearer value,name=value``) with and without their scheme.
    """
    if "://" not in secret:
        values = [pair.partition("=")[2].strip() for pair in secret.split(",")]
        return {
            component for value in values for component in (value, unquote(value), value.rpartition(" ")[2])
        }
    try:
        password = urlsplit(secret).password
    except ValueError:
        password = None
    return () if not password else (password, unquote(password))


def secret_sources(settings: Settings) -> list[SecretSource]:
    """Return the places of all secrets that the settings name."""
    sources = (
        settings.coder.token,
        settings.privacy.hash_key,
        settings.agent_stats.dsn,
        settings.agent_stats.password,
        settings.server.bearer_token,
        settings.otlp.headers,
    )
    return [source for source in sources if source is not None]


class _Formatter(logging.Formatter):
    """Collects what a line says."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def _event_dict(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = {
            self._redact(key): self._redact_value(value)
            for key, value in vars(record).items()
            if key not in _STANDARD_ATTRIBUTES
        }
        timestamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return {
            "time": timestamp.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": self._redact(record.getMessage()),
            "logger": record.name,
            **{f"{key}_" if key in _RESERVED_KEYS else key: value for key, value in fields.items()},
        }

    def _redact_value(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, datetime):
            return value.isoformat()
        return self._redact(str(value))

    def _format_traceback(self, record: logging.LogRecord) -> str:
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        parts = [record.exc_text, self.formatStack(record.stack_info) if record.stack_info else None]
        return self._redact("\n".join(part for part in parts if part))


class TextFormatter(_Formatter):
    """Lines for people: time, level, event, then keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback on lines below it."""
        event = self._event_dict(record)
        event.pop("logger")
        timestamp, level, message = event.pop("time"), event.pop("level"), event.pop("event")
        keys = [f"{key}={_quote_value(value)}" for key, value in event.items()]
        line = " ".join([timestamp, f"{level:7}", _escape_control_characters(message), *keys])
        traceback = self._format_traceback(record)
        return f"{line}\n{traceback}" if traceback else line


class JsonFormatter(_Formatter):
    """Lines for machines: one JSON object each."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = self._event_dict(record)
        if traceback := self._format_traceback(record):
            event["trace"] = traceback
        return json.dumps(event, ensure_ascii=False, default=str)


def _escape_control_characters(text: str) -> str:
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1] for character in text
    )


def _quote_value(value: object) -> str:
    text = "true" if value is True else "false" if value is False else "" if value is None else str(value)
    unquoted = _UNQUOTED_PATTERN.fullmatch(text) is not None and text.isprintable()
    return text if unquoted else json.dumps(text, ensure_ascii=not text.isprintable())


def configure(settings: LogSettings, *, redact: Callable[[str], str], stream: IO[str] | None = None) -> None:
    """Write all log lines of this process in that form, also of exceptions that nobody caught."""
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter_class = JsonFormatter if settings.format is LogFormat.JSON else TextFormatter
    handler.setFormatter(formatter_class(redact))
    root = logging.getLogger()
    for existing_handler in list(root.handlers):
        root.removeHandler(existing_handler)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    # Libraries tell every connection at the level of debugging, which is not ours to debug.
    for name in ("asyncio", "aiohttp", "opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(settings.level.upper())))
    # These tell each failed push, some with headers in it; we tell when pushes begin to fail, and why.
    for name in ("opentelemetry.exporter.otlp", "opentelemetry.util.re"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.excepthook = _log_unhandled_exception
    threading.excepthook = _log_unhandled_thread_exception
    sys.unraisablehook = _log_unraisable_exception


def _log_unhandled_exception(
    exc_type: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(exc_type, KeyboardInterrupt):
        return
    logging.getLogger("insights_exporter").critical(
        "Nobody caught this.", exc_info=(exc_type, error, traceback)
    )


def _log_unhandled_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_unhandled_exception(args.exc_type, args.exc_value, args.exc_traceback)


def _log_unraisable_exception(args: Any) -> None:
    if args.exc_value is not None:
        _log_unhandled_exception(args.exc_type, args.exc_value, args.exc_traceback)
