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

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.aggregate import BUCKET_COUNT, Aggregate, HistogramCounts
from insights_exporter.agent_stats.late_rows import CommittedBatch
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.packed_counts import pack_counts
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import TemplateKey

__all__ = ["InvalidStateError", "StateFile"]

logger = logging.getLogger(__name__)

FORMAT: Final = "insights-exporter agent statistics"
VERSION: Final = 1
LARGEST: Final = 1 << 30
"""Bytes that no state of ours reaches."""


class InvalidStateError(Exception):
    """The file cannot be used; the text says why."""


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    sha256: str


_HistogramRow = tuple[str, str, str, tuple[int, ...], float]


class _Body(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    source: str
    identity: str
    users: str
    since: datetime
    position: str
    slices: list[CommittedBatch]
    bounds: tuple[float, ...]
    latency: list[_HistogramRow]
    app_latency: list[_HistogramRow]
    session_seconds: list[tuple[str, str, str, str, float]]
    traffic: list[tuple[str, str, int, int]]
    fine: list[dict[int, int]] | None = None
    """Exponential buckets of each line of ``latency`` and then of ``app_latency``, where they are counted."""


class StateFile:
    """The file of one source; another source's counts are not its own."""

    def __init__(self, path: Path, *, source: str, username_policy: UsernamePolicy) -> None:
        self.path = path
        self._source = source
        self._username_policy = username_policy

    def load(self, accumulator: Accumulator) -> bool:
        """Fill a ledger and return True; return False where nothing was kept or it cannot be used.

        What cannot be used is renamed, so that somebody can look at it, and a warning names it. Raises
        OSError where the file cannot be read at all: the counts in it may be good and must not be lost.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            self._restore(accumulator, _decode(content))
        except InvalidStateError as error:
            self.quarantine(str(error))
            return False
        return True

    def quarantine(self, reason: str) -> None:
        """Rename the file, as it cannot be used."""
        rejected_path = self.path.with_name(f"{self.path.name}.rejected")
        os.replace(self.path, rejected_path)
        extra = {"path": str(self.path), "moved_to": str(rejected_path), "why": reason}
        logger.warning("The state file cannot be used; counting begins anew.", extra=extra)

    def save(self, accumulator: Accumulator) -> None:
        """Save what was counted; takes long enough to be done beside the event loop. Raises OSError."""
        self.write_atomic(self.serialize(accumulator))

    def serialize(self, accumulator: Accumulator) -> bytes:
        """Return what to save."""
        assert accumulator.since is not None
        committed = accumulator.committed
        body = _Body(
            source=self._source,
            identity=accumulator.identity,
            users=_username_format(self._username_policy),
            since=accumulator.since,
            position=accumulator.cursor,
            slices=list(accumulator.late_rows.batches),
            bounds=LATENCY_BUCKETS,
            latency=[
                (*key, user, counts.buckets, counts.total)
                for key, users in committed.latency.items()
                for user, counts in users.items()
            ],
            app_latency=[
                (*key, counts.buckets, counts.total) for key, counts in committed.app_latency.items()
            ],
            session_seconds=[
                (organization, template, user, app, seconds)
                for (organization, template, app), users in committed.session_seconds.items()
                for user, seconds in users.items()
            ],
            traffic=[
                (*key, received, committed.transmitted[key]) for key, received in committed.received.items()
            ],
            fine=_encode_exponential_buckets(committed) if accumulator.exponential else None,
        )
        payload = msgspec.json.encode(body)
        header = _Header(FORMAT, VERSION, hashlib.sha256(payload).hexdigest())
        return msgspec.json.encode(header) + b"\n" + payload + b"\n"

    def write_atomic(self, content: bytes) -> None:
        """Replace the file; it is either the old one or the new one, whatever happens. Raise OSError."""
        temporary = self.path.with_name(f"{self.path.name}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        directory_descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory_descriptor)
        finally:
            os.close(directory_descriptor)

    def _restore(self, accumulator: Accumulator, body: _Body) -> None:
        if body.source != self._source:
            raise InvalidStateError(f"It holds counts of the source {body.source!r}.")
        if body.bounds != LATENCY_BUCKETS:
            raise InvalidStateError("It holds counts of other latency buckets.")
        if body.since.tzinfo is None:
            raise InvalidStateError("It holds a time without a zone.")
        convert = self._username_converter(body.users)
        admits = accumulator.filters.allows_template
        aggregate, exponential_buckets = (
            Aggregate(),
            _decode_exponential_buckets(body, enabled=accumulator.exponential),
        )
        for key, user, counts in _decode_histograms(body.latency, exponential_buckets):
            if convert is not None and admits(key):
                aggregate.latency.setdefault(key, {})[convert(user)] = counts
        for key, app, counts in _decode_histograms(body.app_latency, exponential_buckets):
            if admits(key):
                aggregate.app_latency[(*key, app)] = counts
        for organization, template, user, app, seconds in body.session_seconds:
            if convert is not None and admits(key := TemplateKey(organization, template)):
                aggregate.add_session_time(key, convert(user), app, seconds=seconds)
        for organization, template, received, transmitted in body.traffic:
            if admits(key := TemplateKey(organization, template)):
                aggregate.add_traffic(key, received=received, transmitted=transmitted)
        accumulator.reset(body.since, identity=body.identity, cursor=body.position, batches=body.slices)
        accumulator.committed = aggregate

    def _username_converter(self, stored_format: str) -> _UsernameConverter | None:
        """Return what turns users in the file into users as they are shown now; None leaves them out."""
        if self._username_policy.hides_users:
            return None
        if stored_format == _username_format(self._username_policy):
            return _keep_username
        if stored_format == "named":
            return _HashUsername(self._username_policy)
        raise InvalidStateError("It holds users in a form that cannot be turned into the configured one.")


class _UsernameConverter:
    def __call__(self, user: str) -> str:
        return user


_keep_username = _UsernameConverter()


class _HashUsername(_UsernameConverter):
    def __init__(self, username_policy: UsernamePolicy) -> None:
        self._username_policy = username_policy

    def __call__(self, user: str) -> str:
        return self._username_policy.pseudonymize(user) or ""


def _decode(content: bytes) -> _Body:
    header_line, _, remainder = content.partition(b"\n")
    try:
        header = msgspec.json.decode(header_line, type=_Header)
    except msgspec.DecodeError:
        raise InvalidStateError("It is not a state file of agent statistics.") from None
    if header.format != FORMAT:
        raise InvalidStateError("It is not a state file of agent statistics.")
    if header.version != VERSION:
        raise InvalidStateError(f"It is of version {header.version}; expected version {VERSION}.")
    payload = remainder.removesuffix(b"\n")
    if not hmac.compare_digest(hashlib.sha256(payload).hexdigest(), header.sha256):
        raise InvalidStateError("Its checksum does not match; it was cut short or changed.")
    try:
        return msgspec.json.decode(payload, type=_Body)
    except msgspec.DecodeError as error:
        raise InvalidStateError(f"It does not hold what it should: {error}.") from None


def _decode_histograms(
    rows: list[_HistogramRow], exponential_buckets: Iterator[dict[int, int]]
) -> Iterator[tuple[TemplateKey, str, HistogramCounts]]:
    for organization, template, name, buckets, total in rows:
        if len(buckets) != BUCKET_COUNT:
            raise InvalidStateError("It holds a histogram of another number of buckets.")
        try:
            packed_counts = pack_counts(buckets)
        except ValueError:
            raise InvalidStateError("It holds a count that cannot be one.") from None
        yield (
            TemplateKey(organization, template),
            name,
            HistogramCounts(packed_counts, total, next(exponential_buckets)),
        )


def _encode_exponential_buckets(committed: Aggregate) -> list[dict[int, int]]:
    by_user = chain.from_iterable(users.values() for users in committed.latency.values())
    return [counts.exponential_buckets or {} for counts in chain(by_user, committed.app_latency.values())]


def _decode_exponential_buckets(body: _Body, *, enabled: bool) -> Iterator[dict[int, int]]:
    """Return the exponential buckets of each histogram in turn, none where they are not counted."""
    if not enabled:
        return iter(dict, None)
    if body.fine is None or len(body.fine) != len(body.latency) + len(body.app_latency):
        raise InvalidStateError("It holds no exponential buckets, which are wanted by now.")
    return iter(body.fine)


def _username_format(username_policy: UsernamePolicy) -> str:
    """Return how users appear; hashed ones with what tells one key from another."""
    if username_policy.shows_names:
        return "named"
    return (
        f"hashed {username_policy.pseudonymize('state file')}" if not username_policy.hides_users else "off"
    )
