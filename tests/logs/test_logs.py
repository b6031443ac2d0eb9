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

from insights_exporter import logs
from insights_exporter.secret import FileSecret, LiteralSecret, Secret
from insights_exporter.settings import LogFormat, LogSettings

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    for name in ("asyncio", "aiohttp", "opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def configured(form: LogFormat, *secrets: LiteralSecret | FileSecret) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(LogSettings(format=form), redact=logs.Redactor(secrets), stream=stream)
    return stream


def test_a_text_line_has_time_level_event_and_keys() -> None:
    stream = configured(LogFormat.TEXT)

    logging.getLogger("test").info(
        "Poll finished.", extra={"seconds": 1.5, "result": "ok", "template": 'a "b"\nc', "whole": True}
    )

    moment, _, rest = stream.getvalue().partition(" ")
    assert moment.endswith("Z")
    assert rest == 'info    Poll finished. seconds=1.5 result=ok template="a \\"b\\"\\nc" whole=true\n'


def test_a_json_line_is_one_object() -> None:
    stream = configured(LogFormat.JSON)

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


def test_an_event_cannot_forge_another_line() -> None:
    stream = configured(LogFormat.TEXT)

    logging.getLogger("test").info("one\n2026 error forged\x1b[31m")

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("form", list(LogFormat))
def test_secrets_show_in_no_part_of_a_line(form: LogFormat, tmp_path: Path) -> None:
    """Also a token that was rotated away, a quoted secret and the password within an address."""
    (tmp_path / "key").write_text('in "quotes" hunter1')
    dsn = LiteralSecret(Secret("postgres://ada:hunter%32two@db/coder"))
    stream = configured(form, FileSecret(tmp_path / "key"), dsn)
    logger = logging.getLogger("test")

    try:
        raise ValueError(f'{TOKEN} in "quotes" hunter1 hunter2two')  # noqa: TRY301 - the trace is wanted.
    except ValueError:
        logger.exception("Saw %s.", TOKEN, extra={"dsn": "postgres://ada:hunter%32two@db/coder", TOKEN: 1})
    logger.info("http://ada:hunter3@example.com/", extra={"secret": Secret("hunter4")})

    shown = stream.getvalue()
    assert "hunter" not in shown
    assert TOKEN not in shown
    assert "ValueError" in shown


def test_an_unreadable_secret_does_not_stop_the_log(tmp_path: Path) -> None:
    stream = configured(LogFormat.TEXT, FileSecret(tmp_path / "none"))

    logging.getLogger("test").info("Here.")

    assert "Here." in stream.getvalue()


def test_what_nobody_caught_is_logged_without_secrets() -> None:
    stream = configured(LogFormat.JSON)
    error = ValueError(TOKEN)

    sys.excepthook(ValueError, error, None)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["level"] == second["level"] == "critical"
    assert first["trace"] == "ValueError: ***"
    assert "ZeroDivisionError" in second["trace"]


def test_less_important_levels_are_left_out() -> None:
    stream = io.StringIO()
    logs.configure(LogSettings(level="error"), redact=str, stream=stream)

    logging.getLogger("test").warning("Not this.")
    logging.getLogger("test").error("This.")

    assert "This." in stream.getvalue()
    assert "Not" not in stream.getvalue()
