"""Counts kept on disk, so that a restart neither loses nor repeats anything.

The first line names the format and the checksum of the second, which holds everything. A file is replaced
as a whole or not at all. Users are in it as they are shown, and are not where they are left out.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from insights_exporter.collectors.agent_stats.lateness import Closed
from insights_exporter.collectors.agent_stats.ledger import Ledger
from insights_exporter.collectors.agent_stats.tally import PLACES, Counts, Tally
from insights_exporter.lanes import joined
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.redaction import Redaction
from insights_exporter.snapshot import TemplateKey

__all__ = ["StateFile", "StateRejected"]

logger = logging.getLogger(__name__)

FORMAT: Final = "insights-exporter agent statistics"
VERSION: Final = 1
LARGEST: Final = 1 << 30
"""Bytes that no state of ours reaches."""


class StateRejected(Exception):  # noqa: N818 - it says what happened.
    """The file cannot be used; the text says why."""


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    sha256: str


_Histogram = tuple[str, str, str, tuple[int, ...], float]


class _Body(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    source: str
    identity: str
    users: str
    since: datetime
    position: str
    slices: list[Closed]
    bounds: tuple[float, ...]
    latency: list[_Histogram]
    app_latency: list[_Histogram]
    session_seconds: list[tuple[str, str, str, str, float]]
    traffic: list[tuple[str, str, int, int]]
    fine: list[dict[int, int]] | None = None
    """Exponential buckets of each line of ``latency`` and then of ``app_latency``, where they are counted."""


class StateFile:
    """The file of one source; another source's counts are not its own."""

    def __init__(self, path: Path, *, source: str, redaction: Redaction) -> None:
        self.path = path
        self._source = source
        self._redaction = redaction

    def load(self, ledger: Ledger) -> bool:
        """Fill a ledger and return True; return False where nothing was kept or it cannot be used.

        What cannot be used is renamed, so that somebody can look at it, and a warning names it. Raises
        OSError where the file cannot be read at all: the counts in it may be good and must not be lost.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            self._fill(ledger, _decode(content))
        except StateRejected as error:
            self.set_aside(str(error))
            return False
        return True

    def set_aside(self, why: str) -> None:
        """Rename the file, as it cannot be used."""
        aside = self.path.with_name(f"{self.path.name}.rejected")
        os.replace(self.path, aside)  # noqa: PTH105 - beside the other one.
        told = {"path": str(self.path), "moved_to": str(aside), "why": why}
        logger.warning("The state file cannot be used; counting begins anew.", extra=told)

    def keep(self, ledger: Ledger) -> None:
        """Save what was counted; takes long enough to be done beside the event loop. Raises OSError."""
        self.save(self.content(ledger))

    def content(self, ledger: Ledger) -> bytes:
        """Return what to save."""
        assert ledger.since is not None  # noqa: S101 - nothing is saved before counting began.
        closed = ledger.closed
        body = _Body(
            source=self._source,
            identity=ledger.identity,
            users=_users(self._redaction),
            since=ledger.since,
            position=ledger.position,
            slices=list(ledger.lateness.slices),
            bounds=LATENCY_BUCKETS,
            latency=[
                (*key, user, one.buckets, one.total)
                for key, users in closed.latency.items()
                for user, one in users.items()
            ],
            app_latency=[(*key, one.buckets, one.total) for key, one in closed.app_latency.items()],
            session_seconds=[
                (organization, template, user, app, seconds)
                for (organization, template, app), users in closed.session_seconds.items()
                for user, seconds in users.items()
            ],
            traffic=[(*key, received, closed.transmitted[key]) for key, received in closed.received.items()],
            fine=_fine(closed) if ledger.exponential else None,
        )
        line = msgspec.json.encode(body)
        head = _Head(FORMAT, VERSION, hashlib.sha256(line).hexdigest())
        return msgspec.json.encode(head) + b"\n" + line + b"\n"

    def save(self, content: bytes) -> None:
        """Replace the file; it is either the old one or the new one, whatever happens. Raise OSError."""
        temporary = self.path.with_name(f"{self.path.name}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - it takes a descriptor.
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)  # noqa: PTH105 - a rename that replaces.
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _fill(self, ledger: Ledger, body: _Body) -> None:
        if body.source != self._source:
            raise StateRejected(f"It holds counts of the source {body.source!r}.")
        if body.bounds != LATENCY_BUCKETS:
            raise StateRejected("It holds counts of other latency buckets.")
        if body.since.tzinfo is None:
            raise StateRejected("It holds a time without a zone.")
        shown = self._convert(body.users)
        admits = ledger.filters.admits_template
        tally, fine = Tally(), _fine_of(body, wanted=ledger.exponential)
        for key, user, counts in _histograms(body.latency, fine):
            if shown is not None and admits(key):
                tally.latency.setdefault(key, {})[shown(user)] = counts
        for key, app, counts in _histograms(body.app_latency, fine):
            if admits(key):
                tally.app_latency[(*key, app)] = counts
        for organization, template, user, app, seconds in body.session_seconds:
            if shown is not None and admits(key := TemplateKey(organization, template)):
                tally.session(key, shown(user), app, seconds=seconds)
        for organization, template, received, transmitted in body.traffic:
            if admits(key := TemplateKey(organization, template)):
                tally.traffic(key, received=received, transmitted=transmitted)
        ledger.begin(body.since, identity=body.identity, position=body.position, slices=body.slices)
        ledger.closed = tally

    def _convert(self, users: str) -> _Shown | None:
        """Return what turns users in the file into users as they are shown now; None leaves them out."""
        if self._redaction.off:
            return None
        if users == _users(self._redaction):
            return _same
        if users == "named":
            return _Hashing(self._redaction)
        raise StateRejected("It holds users in a form that cannot be turned into the configured one.")


class _Shown:
    def __call__(self, user: str) -> str:
        return user


_same = _Shown()


class _Hashing(_Shown):
    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction

    def __call__(self, user: str) -> str:
        return self._redaction.name(user) or ""


def _decode(content: bytes) -> _Body:
    first, _, rest = content.partition(b"\n")
    try:
        head = msgspec.json.decode(first, type=_Head)
    except msgspec.DecodeError:
        raise StateRejected("It is not a state file of agent statistics.") from None
    if head.format != FORMAT:
        raise StateRejected("It is not a state file of agent statistics.")
    if head.version != VERSION:
        raise StateRejected(f"It is of version {head.version}; expected version {VERSION}.")
    line = rest.removesuffix(b"\n")
    if not hmac.compare_digest(hashlib.sha256(line).hexdigest(), head.sha256):
        raise StateRejected("Its checksum does not match; it was cut short or changed.")
    try:
        return msgspec.json.decode(line, type=_Body)
    except msgspec.DecodeError as error:
        raise StateRejected(f"It does not hold what it should: {error}.") from None


def _histograms(
    rows: list[_Histogram], fine: Iterator[dict[int, int]]
) -> Iterator[tuple[TemplateKey, str, Counts]]:
    for organization, template, name, buckets, total in rows:
        if len(buckets) != PLACES:
            raise StateRejected("It holds a histogram of another number of buckets.")
        try:
            lanes = joined(buckets)
        except ValueError:
            raise StateRejected("It holds a count that cannot be one.") from None
        yield TemplateKey(organization, template), name, Counts(lanes, total, next(fine))


def _fine(closed: Tally) -> list[dict[int, int]]:
    by_user = chain.from_iterable(users.values() for users in closed.latency.values())
    return [one.fine or {} for one in chain(by_user, closed.app_latency.values())]


def _fine_of(body: _Body, *, wanted: bool) -> Iterator[dict[int, int]]:
    """Return the exponential buckets of each histogram in turn, none where they are not counted."""
    if not wanted:
        return iter(dict, None)
    if body.fine is None or len(body.fine) != len(body.latency) + len(body.app_latency):
        raise StateRejected("It holds no exponential buckets, which are wanted by now.")
    return iter(body.fine)


def _users(redaction: Redaction) -> str:
    """Return how users appear; hashed ones with what tells one key from another."""
    if redaction.named:
        return "named"
    return f"hashed {redaction.name('state file')}" if not redaction.off else "off"
