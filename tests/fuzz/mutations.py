"""Mutations of Coder's responses: invalid, incomplete and hostile, yet never a plausible lie.

No exporter can recognize a plausible lie, such as a total that is too high. Therefore each mutation makes a
response unusable, or removes something from it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

__all__ = ["MUTATIONS", "SILENT_MUTATIONS", "Answer", "mutate"]

DATE_LENGTH = len("2026-01-01T00:00:00")
BOMB_BYTES = 6 << 20
BOMB_ROWS = 1 << 20

INVALID_NUMBERS = (-5, 10**20, 1e300, float("nan"), float("inf"), float("-inf"))
INVALID_VALUES: tuple[Any, ...] = (-1.5, [[]], [5, "x"])
INVALID_ROWS: tuple[Any, ...] = (None, 5, [], {}, {"id": 5})
INVALID_DATES = ("9999-12-31T23:59:59Z", "0000-00-00T00:00:00Z", "-5", "9999-12-31T23:59:59+00:00", "x" * 300)
INVALID_COUNTS = ("nan", "inf", "-5", "1e400", "9" * 400, "", "0x10", "\u0661".encode().decode("latin-1"))
INVALID_HTTP_DATES = (
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Wed, 01 Jan 2020 00:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Mon, 99 Foo 2026 99:99:99 GMT",
    "nan",
    "",
)


@dataclass
class Answer:
    """A response: ``body`` is sent as it is. ``is_aborted`` closes the connection after ``sent_bytes``."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    is_aborted: bool = False
    sent_bytes: int = 0


Mutation = Callable[[Answer, Random], bool]
"""Changes the answer in place; returns False if the answer has nothing to change."""


def mutate(answer: Answer, random: Random, *, silent: bool = True) -> str:
    """Apply a random mutation and return its name; without ``silent`` one that the exporter can recognize."""
    names = [name for name in MUTATIONS if silent or name not in SILENT_MUTATIONS]
    while True:
        name = random.choice(names)
        if MUTATIONS[name](answer, random):
            return name


# Bodies


Slot = tuple[Any, Any]
"""A container and the key or index of a value in it."""


def _slots(document: Any) -> Iterator[Slot]:
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield document, key
        yield from _slots(value)


def _edit(select: Callable[[Any, Any, Any], bool], change: Callable[[Any, Any, Random], None]) -> Mutation:
    """Return a mutation of a random value that ``select`` accepts by container, key and value."""

    def mutation(answer: Answer, random: Random) -> bool:
        try:
            document = json.loads(answer.body)
        except ValueError:
            return False
        slots = [slot for slot in _slots(document) if select(slot[0], slot[1], slot[0][slot[1]])]
        if not slots:
            return False
        container, key = random.choice(slots)
        change(container, key, random)
        answer.body = json.dumps(document).encode()
        return True

    return mutation


def _is_number(_container: Any, _key: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_field(container: Any, key: Any, _value: Any) -> bool:
    # Without its organization's name, a template of an old server is identified by the organization's id.
    return isinstance(container, dict) and key != "organization_name"


def _is_row(container: Any, _key: Any, _value: Any) -> bool:
    return isinstance(container, list)


def _is_list(_container: Any, _key: Any, value: Any) -> bool:
    return isinstance(value, list)


def _is_date(_container: Any, _key: Any, value: Any) -> bool:
    return isinstance(value, str) and len(value) > DATE_LENGTH and value[4] == "-" and "T" in value


def _set(values: tuple[Any, ...]) -> Callable[[Any, Any, Random], None]:
    def change(container: Any, key: Any, random: Random) -> None:
        container[key] = random.choice(values)

    return change


def _delete(container: Any, key: Any, _random: Random) -> None:
    del container[key]


def _truncate(answer: Answer, random: Random) -> bool:
    if not answer.body:
        return False
    answer.body = answer.body[: random.randrange(len(answer.body))]
    return True


def _replace_body(*bodies: bytes) -> Mutation:
    def mutation(answer: Answer, random: Random) -> bool:
        answer.body = random.choice(bodies)
        return True

    return mutation


def _flip_bytes(answer: Answer, random: Random) -> bool:
    if not answer.body:
        return False
    # Bytes above 127 in no valid order: no digit becomes another digit.
    damaged = bytearray(answer.body)
    for _ in range(3):
        damaged[random.randrange(len(damaged))] = random.choice((0x00, 0xC0, 0xFF))
    answer.body = bytes(damaged)
    return True


# Compression


@cache
def _bomb(kind: str) -> bytes:
    body = b" " * BOMB_BYTES if kind == "bytes" else b"[" + b"{}," * BOMB_ROWS + b"{}]"
    return gzip.compress(body, compresslevel=1)


def _compression_bomb(answer: Answer, random: Random) -> bool:
    answer.body = _bomb(random.choice(("bytes", "rows")))
    answer.headers["Content-Encoding"] = "gzip"
    return True


def _invalid_compression(answer: Answer, random: Random) -> bool:
    packed = gzip.compress(answer.body)
    answer.headers["Content-Encoding"] = random.choice(("gzip", "gzip", "deflate", "br", "gzip, gzip", "x"))
    if answer.headers["Content-Encoding"] == "gzip":
        answer.body = random.choice((packed[:-6], packed[: len(packed) // 2], b"\x1f\x8b" + answer.body))
    return True


# Headers, status and connection


def _header(name: str, *values: str) -> Mutation:
    def mutation(answer: Answer, random: Random) -> bool:
        answer.headers[name] = random.choice(values)
        return True

    return mutation


def _rate_limit_headers(answer: Answer, random: Random) -> bool:
    answer.headers["X-RateLimit-Remaining"] = random.choice(("0", "0", *INVALID_COUNTS))
    answer.headers["X-RateLimit-Reset"] = random.choice(INVALID_COUNTS)
    return True


def _error_status(answer: Answer, random: Random) -> bool:
    answer.status = random.choice((400, 401, 403, 404, 405, 409, 429, 500, 502, 503, 504, 599))
    answer.headers["Retry-After"] = random.choice((*INVALID_COUNTS, *INVALID_HTTP_DATES, "0", "1", "3600"))
    answer.body = random.choice(
        (b"", b'{"message":"x","detail":"y"}', b"<html>", b'{"message":5}', b"[" * 50_000)
    )
    return True


def _redirect(answer: Answer, random: Random) -> bool:
    answer.status = random.choice((301, 302, 303, 307, 308))
    answer.headers["Location"] = random.choice(
        ("", "/api/v2/redirected", "https://login.example.test/", "//[", "http://[::1", "javascript:x")
    )
    return True


def _abort(answer: Answer, random: Random) -> bool:
    answer.is_aborted = True
    answer.sent_bytes = random.choice((0, random.randrange(len(answer.body) + 1)))
    return True


def _delay(answer: Answer, random: Random) -> bool:
    answer.delay = random.uniform(0.0, 0.03)
    return True


MUTATIONS: dict[str, Mutation] = {
    "invalid number": _edit(_is_number, _set(INVALID_NUMBERS)),
    "number as text": _edit(_is_number, _set(("x", "5", "NaN"))),
    "wrong type": _edit(_is_field, _set(INVALID_VALUES)),
    "null": _edit(_is_field, _set((None,))),
    "missing field": _edit(_is_field, _delete),
    "invalid row": _edit(_is_row, _set(INVALID_ROWS)),
    "missing row": _edit(_is_row, _delete),
    "missing list": _edit(_is_list, _set(([], None))),
    "invalid date": _edit(_is_date, _set(INVALID_DATES)),
    "truncated": _truncate,
    "damaged bytes": _flip_bytes,
    "other document": _replace_body(
        b"", b"null", b"[]", b"{}", b"5", b'"x"', b'{"status":"ok","data":[1]}', b"<!doctype html><p>Sign in"
    ),
    "deep json": _replace_body(
        b"[" * 100_000, b'{"report":' * 50_000, b'{"report":{"users":' + b"[" * 90_000
    ),
    "compression bomb": _compression_bomb,
    "invalid compression": _invalid_compression,
    "rate limit headers": _rate_limit_headers,
    "date header": _header("Date", *INVALID_HTTP_DATES),
    "version header": _header(
        "X-Coder-Build-Version", "banana", "v", "v999999999999999999999.0", "x" * 20_000
    ),
    "content type": _header("Content-Type", "text/html", "application/json; charset=x", "/", "image/png"),
    "error status": _error_status,
    "redirect": _redirect,
    "aborted": _abort,
    "delayed": _delay,
}
"""Every mutation by its name in the summary."""

SILENT_MUTATIONS = frozenset({"null", "missing field", "missing row", "missing list", "other document"})
"""Mutations after which an answer can look complete: totals are too low until the days are read again."""
