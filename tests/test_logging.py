"""What log lines look like and what they never say."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

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

    logging.getLogger("test").info(
        "Poll finished.", extra={"seconds": 1.5, "result": "ok", "template": 'a "b"\nc', "whole": True}
    )

    timestamp, _, rest = stream.getvalue().partition(" ")
    assert timestamp.endswith("Z")
    assert rest == 'info    Poll finished. seconds=1.5 result=ok template="a \\"b\\"\\nc" whole=true\n'


def test_json_format() -> None:
    stream = configure_logging(LogFormat.JSON)

    logging.getLogger("test").warning("Näme\nbad.", extra={"seconds": 1.5, "level": "mine"})

    event = json.loads(stream.getvalue())
    event.pop("time")
    assert stream.getvalue().count("\n") == 1
    assert event == {
        "level": "warning",
        "event": "Näme\nbad.",
        "logger": "test",
        "seconds": 1.5,
        "level_": "mine",
    }


def test_event_cannot_inject_log_lines() -> None:
    stream = configure_logging(LogFormat.TEXT)

    logging.getLogger("test").info("one\n2026 error forged\x1b[31m")

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("form", list(LogFormat))
def test_secrets_are_redacted_everywhere(form: LogFormat, tmp_path: Path) -> None:
    """Also a token that was rotated away, a quoted secret and the password within an address."""
    (tmp_path / "key").write_text('in "quotes" hunter1')
    dsn = LiteralSecret(Secret("postgres://ada:hunter%32two@db/coder"))
    stream = configure_logging(form, FileSecret(tmp_path / "key"), dsn)
    logger = logging.getLogger("test")

    try:
        raise ValueError(f'{TOKEN} in "quotes" hunter1 hunter2two')
    except ValueError:
        logger.exception("Saw %s.", TOKEN, extra={"dsn": "postgres://ada:hunter%32two@db/coder", TOKEN: 1})
    logger.info("http://ada:hunter3@example.com/", extra={"secret": Secret("hunter4")})

    output = stream.getvalue()
    assert "hunter" not in output
    assert TOKEN not in output
    assert "ValueError" in output


def test_an_unreadable_secret_does_not_stop_the_log(tmp_path: Path) -> None:
    stream = configure_logging(LogFormat.TEXT, FileSecret(tmp_path / "none"))

    logging.getLogger("test").info("Here.")

    assert "Here." in stream.getvalue()


def test_unhandled_exceptions_are_logged_and_redacted() -> None:
    stream = configure_logging(LogFormat.JSON)
    error = ValueError(TOKEN)

    sys.excepthook(ValueError, error, None)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["level"] == second["level"] == "critical"
    assert first["trace"] == "ValueError: ***"
    assert "ZeroDivisionError" in second["trace"]


def test_level_filters_events() -> None:
    stream = io.StringIO()
    exporter_logging.configure(LogSettings(level="error"), redact=str, stream=stream)

    logging.getLogger("test").warning("Not this.")
    logging.getLogger("test").error("This.")

    assert "This." in stream.getvalue()
    assert "Not" not in stream.getvalue()
