"""Log events with keys, as text or JSON, without secrets.

Modules log through structlog: ``logger.info("poll finished", seconds=1.5)`` becomes
``2026-01-14T10:20:00.000Z info    poll finished seconds=1.5``. Records of libraries that use the standard
library's logging pass through the same processors.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import structlog
from structlog.typing import EventDict, Processor

from insights_exporter.config.settings import LogFormat, LogSettings, Settings
from insights_exporter.errors import SecretError
from insights_exporter.secrets import MASK, SecretSource, mask_secrets

__all__ = ["Redactor", "configure", "configure_structlog", "create_formatter", "secret_sources"]

TOKEN_PATTERN: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{10}-[0-9A-Za-z]{22}(?![0-9A-Za-z])")
"""The format of Coder's session tokens; redacts also tokens that were rotated out of their file."""

URL_PASSWORD_PATTERN: Final = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*(?=@)")

_RESERVED_KEYS = ("time", "level", "event", "logger")
_UNQUOTED_PATTERN = re.compile(r'[^\s"=\\]+')
_LIBRARY_LEVELS: Final[Mapping[str, int]] = {
    # Debug logs of these describe single connections of the library.
    "asyncio": logging.INFO,
    "aiohttp": logging.INFO,
    "opentelemetry": logging.INFO,
    "urllib3": logging.INFO,
    # These log every failed export, some with headers; `otlp.pusher` logs failures on change.
    "opentelemetry.exporter.otlp": logging.CRITICAL,
    "opentelemetry.util.re": logging.CRITICAL,
}
"""Minimum levels of libraries' loggers."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces secrets in text by ``***``; reads the sources at each call, because secrets rotate."""

    sources: Sequence[SecretSource] = field(default=(), repr=False)

    def __call__(self, text: str) -> str:
        """Return the text with all secrets, session tokens and URL passwords masked."""
        text = mask_secrets(text, self._secrets())
        return URL_PASSWORD_PATTERN.sub(MASK, TOKEN_PATTERN.sub(MASK, text))

    def _secrets(self) -> set[str]:
        secrets: set[str] = set()
        for source in self.sources:
            try:
                secret = source.read().reveal()
            except SecretError:
                continue
            secrets |= {secret, *_secret_components(secret)}
        return secrets


def _secret_components(secret: str) -> Iterable[str]:
    """Return the parts of a secret that are secret by themselves.

    Those are the password of a URL, percent-encoded and decoded, and the values of headers
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
    """Return the sources of all secrets in the settings."""
    sources = (
        settings.coder.token,
        settings.privacy.hash_key,
        settings.agent_stats.dsn,
        settings.agent_stats.password,
        settings.server.bearer_token,
        settings.otlp.headers,
    )
    return [source for source in sources if source is not None]


def configure(
    settings: LogSettings,
    *,
    redact: Callable[[str], str],
    stream: IO[str] | None = None,
    min_level: int = logging.NOTSET,
) -> None:
    """Send all log events of the process, also unhandled exceptions, to ``stream`` (standard error).

    ``min_level`` raises the level of the settings.
    """
    configure_structlog()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(create_formatter(settings.format, redact))
    root = logging.getLogger()
    for existing_handler in list(root.handlers):
        root.removeHandler(existing_handler)
    root.addHandler(handler)
    level = max(min_level, logging.getLevelNamesMapping()[settings.level.upper()])
    root.setLevel(level)
    for name, minimum in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(minimum, level))
    sys.excepthook = _log_unhandled_exception
    threading.excepthook = _log_unhandled_thread_exception
    sys.unraisablehook = _log_unraisable_exception


def configure_structlog() -> None:
    """Pass structlog's events to the standard library's loggers, whose handlers render them."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def create_formatter(
    log_format: LogFormat, redact: Callable[[str], str]
) -> structlog.stdlib.ProcessorFormatter:
    """Return the formatter; the redaction runs last before rendering, so that nothing is added after it."""
    renderer: Processor = _render_text
    if log_format is LogFormat.JSON:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            _add_metadata,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _merge_tracebacks,
            _RedactionProcessor(redact),
            renderer,
        ],
        use_get_message=True,
    )


def _add_metadata(_: object, __: str, event: EventDict) -> EventDict:
    """Put time, level, event and logger first; keys of the event with these names get an underscore."""
    record: logging.LogRecord = event["_record"]
    timestamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    message = event.pop("event")
    return {
        "time": timestamp.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": str(message),
        "logger": record.name,
        **{f"{key}_" if key in _RESERVED_KEYS else key: value for key, value in event.items()},
    }


def _merge_tracebacks(_: object, __: str, event: EventDict) -> EventDict:
    # The standard library renders the stack itself, into `stack_info`.
    parts = [event.pop(key, None) for key in ("exception", "stack", "stack_info")]
    if trace := "\n".join(part for part in parts if part):
        event["trace"] = trace
    return event


@dataclass(frozen=True, slots=True)
class _RedactionProcessor:
    """Masks secrets in every key and value of an event; converts values to JSON scalars."""

    redact: Callable[[str], str]

    def __call__(self, _: object, __: str, event: EventDict) -> EventDict:
        """Return the event without secrets."""
        return {self.redact(key): self._redact_value(value) for key, value in event.items()}

    def _redact_value(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, datetime):
            return value.isoformat()
        return self.redact(str(value))


def _render_text(_: object, __: str, event: EventDict) -> str:
    """Return ``time level event key=value ...``, with the traceback on the lines below."""
    del event["logger"]
    trace = event.pop("trace", "")
    timestamp, level, message = event.pop("time"), event.pop("level"), event.pop("event")
    keys = [f"{_escape_control_characters(key)}={_quote_value(value)}" for key, value in event.items()]
    line = " ".join([timestamp, f"{level:7}", _escape_control_characters(message), *keys])
    return f"{line}\n{trace}" if trace else line


def _escape_control_characters(text: str) -> str:
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1] for character in text
    )


def _quote_value(value: object) -> str:
    text = "true" if value is True else "false" if value is False else "" if value is None else str(value)
    unquoted = _UNQUOTED_PATTERN.fullmatch(text) is not None and text.isprintable()
    return text if unquoted else json.dumps(text, ensure_ascii=not text.isprintable())


def _log_unhandled_exception(
    exc_type: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(exc_type, KeyboardInterrupt):
        return
    structlog.stdlib.get_logger("insights_exporter").critical(
        "unhandled exception", exc_info=(exc_type, error, traceback)
    )


def _log_unhandled_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_unhandled_exception(args.exc_type, args.exc_value, args.exc_traceback)


def _log_unraisable_exception(args: Any) -> None:
    if args.exc_value is not None:
        _log_unhandled_exception(args.exc_type, args.exc_value, args.exc_traceback)
