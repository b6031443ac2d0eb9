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

from insights_exporter.errors import SecretError
from insights_exporter.secret import MASK, SecretSource
from insights_exporter.settings import LogFormat, LogSettings, Settings

__all__ = ["JsonFormatter", "Redactor", "TextFormatter", "configure", "secrets_of"]

TOKEN_FORM: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{10}-[0-9A-Za-z]{22}(?![0-9A-Za-z])")
"""What a session token of Coder looks like, so that one that was rotated away stays hidden, too."""

PASSWORD_IN_ADDRESS: Final = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*(?=@)")

_USUAL = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)) | {"message": "", "asctime": "", "taskName": ""}
)
_OWN = frozenset(("time", "level", "event", "logger"))
_BARE = re.compile(r'[^\s"=\\]+')
_REDUCED = 4
"""Texts shorter than this are no secrets, and hiding them would hide everything."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces secrets in texts by their mask; the sources are read at use, as secrets rotate."""

    sources: Sequence[SecretSource] = field(default=(), repr=False)

    def __call__(self, text: str) -> str:
        """Return the text without any secret."""
        for secret in self._secrets():
            text = text.replace(secret, MASK)
        return PASSWORD_IN_ADDRESS.sub(MASK, TOKEN_FORM.sub(MASK, text))

    def _secrets(self) -> list[str]:
        found: set[str] = set()
        for source in self.sources:
            try:
                secret = source.read().reveal()
            except SecretError:
                continue
            found |= {secret, *_parts(secret)}
        # A secret may hold another.
        return sorted((one for one in found if len(one) >= _REDUCED), key=len, reverse=True)


def _parts(secret: str) -> Iterable[str]:
    """Return what of a secret is one by itself.

    That is the password of an address, as it is written and as it is meant, and the values of headers
    (``name=Bearer value,name=value``) with and without their scheme.
    """
    if "://" not in secret:
        values = [pair.partition("=")[2].strip() for pair in secret.split(",")]
        return {part for value in values for part in (value, unquote(value), value.rpartition(" ")[2])}
    try:
        password = urlsplit(secret).password
    except ValueError:
        password = None
    return () if not password else (password, unquote(password))


def secrets_of(settings: Settings) -> list[SecretSource]:
    """Return the places of all secrets that the settings name."""
    places = (
        settings.coder.token,
        settings.privacy.hash_key,
        settings.agent_stats.dsn,
        settings.agent_stats.password,
        settings.server.bearer_token,
        settings.otlp.headers,
    )
    return [place for place in places if place is not None]


class _Formatter(logging.Formatter):
    """Collects what a line says."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def _event(self, record: logging.LogRecord) -> dict[str, Any]:
        said = {
            self._redact(key): self._safe(value) for key, value in vars(record).items() if key not in _USUAL
        }
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": self._redact(record.getMessage()),
            "logger": record.name,
            **{f"{key}_" if key in _OWN else key: value for key, value in said.items()},
        }

    def _safe(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, datetime):
            return value.isoformat()
        return self._redact(str(value))

    def _trace(self, record: logging.LogRecord) -> str:
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        parts = [record.exc_text, self.formatStack(record.stack_info) if record.stack_info else None]
        return self._redact("\n".join(part for part in parts if part))


class TextFormatter(_Formatter):
    """Lines for people: time, level, event, then keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback on lines below it."""
        event = self._event(record)
        event.pop("logger")
        moment, level, message = event.pop("time"), event.pop("level"), event.pop("event")
        keys = [f"{key}={_quoted(value)}" for key, value in event.items()]
        line = " ".join([moment, f"{level:7}", _one_line(message), *keys])
        trace = self._trace(record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(_Formatter):
    """Lines for machines: one JSON object each."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = self._event(record)
        if trace := self._trace(record):
            event["trace"] = trace
        return json.dumps(event, ensure_ascii=False, default=str)


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _quoted(value: object) -> str:
    text = "true" if value is True else "false" if value is False else "" if value is None else str(value)
    bare = _BARE.fullmatch(text) is not None and text.isprintable()
    return text if bare else json.dumps(text, ensure_ascii=not text.isprintable())


def configure(settings: LogSettings, *, redact: Callable[[str], str], stream: IO[str] | None = None) -> None:
    """Write all log lines of this process in that form, also of exceptions that nobody caught."""
    handler = logging.StreamHandler(stream or sys.stderr)
    form = JsonFormatter if settings.format is LogFormat.JSON else TextFormatter
    handler.setFormatter(form(redact))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    # Libraries tell every connection at the level of debugging, which is not ours to debug.
    for name in ("asyncio", "aiohttp", "opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(settings.level.upper())))
    # These tell each failed push, some with headers in it; we tell when pushes begin to fail, and why.
    for name in ("opentelemetry.exporter.otlp", "opentelemetry.util.re"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("insights_exporter").critical("Nobody caught this.", exc_info=(kind, error, trace))


def _uncaught_in_thread(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_value is not None:
        _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


def _unraisable(caught: Any) -> None:
    if caught.exc_value is not None:
        _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)
