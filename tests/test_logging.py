"""Log format, levels and redaction."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from insights_exporter import logging as exporter_logging
from insights_exporter.config.settings import LogFormat, LogSettings
from insights_exporter.secrets import FileSecret, LiteralSecret, Secret

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    for name in ("asyncio", "aiohttp", "opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def configure_logging(log_format: LogFormat, *secrets: LiteralSecret | FileSecret) -> io.StringIO:
    stream = io.StringIO()
    exporter_logging.configure(
        LogSettings(format=log_format), redact=exporter_logging.Redactor(secrets), stream=stream
    )
    return stream


def test_text_format() -> None:
    stream = configure_logging(LogFormat.TEXT)

    structlog.stdlib.get_logger("test").info(
        "poll finished", seconds=1.5, result="ok", template='a "b"\nc', whole=True
    )

    timestamp, _, rest = stream.getvalue().partition(" ")
    assert timestamp.endswith("Z")
    assert rest == 'info    poll finished seconds=1.5 result=ok template="a \\"b\\"\\nc" whole=true\n'


def test_json_format() -> None:
    stream = configure_logging(LogFormat.JSON)

    structlog.stdlib.get_logger("test").warning("Näme\nbad", seconds=1.5, level="mine")

    event = json.loads(stream.getvalue())
    event.pop("time")
    assert stream.getvalue().count("\n") == 1
    assert event == {
        "level": "warning",
        "event": "Näme\nbad",
        "logger": "test",
        "seconds": 1.5,
        "level_": "mine",
    }


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_library_records_render_like_events(log_format: LogFormat) -> None:
    stream = configure_logging(log_format)

    structlog.stdlib.get_logger("test").warning("reconnected after 2 s", host="db")
    logging.getLogger("test").warning("reconnected after %d s", 2, extra={"host": "db"})

    event, record = stream.getvalue().splitlines()
    timestamp = re.compile(r"\d{4}-[0-9T:.-]+Z")
    assert "host" in event
    assert timestamp.sub("", event) == timestamp.sub("", record)


def test_event_cannot_inject_log_lines() -> None:
    stream = configure_logging(LogFormat.TEXT)

    logger = structlog.stdlib.get_logger("test")
    logger.info("one\n2026 error forged\x1b[31m", **{"key\nforged": "value\n2026 error forged\x1b[31m"})

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def _raise(message: str) -> None:
    raise ValueError(message)


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_secrets_are_redacted_everywhere(log_format: LogFormat, tmp_path: Path) -> None:
    """Includes rotated tokens, quoted secrets and the password of a URL, in keys, values and tracebacks."""
    (tmp_path / "key").write_text('in "quotes" hunter1')
    dsn = LiteralSecret(Secret("postgres://ada:hunter%32two@db/coder"))
    stream = configure_logging(log_format, FileSecret(tmp_path / "key"), dsn)
    logger = structlog.stdlib.get_logger("test")

    try:
        _raise(f'{TOKEN} in "quotes" hunter1 hunter2two')
    except ValueError:
        logger.exception(f"saw {TOKEN}", dsn="postgres://ada:hunter%32two@db/coder", **{TOKEN: 1})  # noqa: G004  # The event holds a secret.
        logging.getLogger("library").exception("Saw %s.", TOKEN, extra={"list": [TOKEN, "hunter2two"]})
    logger.info("http://ada:hunter3@example.com/", secret=Secret("hunter4"))

    output = stream.getvalue()
    assert "hunter" not in output
    assert TOKEN not in output
    assert output.count("ValueError: ***") == 2


def test_unreadable_secret_does_not_stop_logging(tmp_path: Path) -> None:
    stream = configure_logging(LogFormat.TEXT, FileSecret(tmp_path / "none"))

    structlog.stdlib.get_logger("test").info("poll finished")

    assert "poll finished" in stream.getvalue()


def test_unhandled_exceptions_are_logged_and_redacted() -> None:
    stream = configure_logging(LogFormat.JSON)
    error = ValueError(TOKEN)

    sys.excepthook(ValueError, error, None)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["level"] == second["level"] == "critical"
    assert first["event"] == second["event"] == "unhandled exception"
    assert first["trace"] == "ValueError: ***"
    assert "ZeroDivisionError" in second["trace"]


def test_level_filters_events() -> None:
    stream = io.StringIO()
    exporter_logging.configure(LogSettings(level="error"), redact=str, stream=stream)

    structlog.stdlib.get_logger("test").warning("dropped")
    structlog.stdlib.get_logger("test").error("kept")

    assert stream.getvalue().count("\n") == 1
    assert "kept" in stream.getvalue()
