"""The state file: committed counts on disk, so that a restart neither loses nor repeats reports.

The first line holds the format and the checksum of the second line, which holds the content. The file is
replaced atomically. Users are stored by display name; with hidden users, the file has none.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.aggregate import BUCKET_COUNT, Aggregate, HistogramCounts
from insights_exporter.agent_stats.late_rows import CommittedBatch
from insights_exporter.config.settings import NameFilter
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.packed_counts import pack_counts
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import TemplateKey

__all__ = ["InvalidStateError", "StateFile"]

logger = structlog.stdlib.get_logger(__name__)

FORMAT: Final = "insights-exporter agent statistics"
VERSION: Final = 1
MAX_BYTES: Final = 1 << 30
"""Size above which a file is rejected without reading it."""

_ConvertUser = Callable[[str], str | None]
"""Returns the display name of a stored user; None drops the user."""


class InvalidStateError(Exception):
    """The state file cannot be used; the message is the reason."""


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
    """Exponential buckets of each row of ``latency`` and then of ``app_latency``, if they are counted."""
    user_filter: str = ""
    """Fingerprint of ``filters.users``, empty without filters: filters cannot be applied to hashes."""
    user_ids: dict[str, str] = {}
    """Display names by pseudonymized user id, to detect renames after a restart."""


class StateFile:
    """The state file of one source."""

    def __init__(self, path: Path, *, source: str) -> None:
        self.path = path
        self._source = source

    def load(self, accumulator: Accumulator) -> bool:
        """Restore an accumulator and return True; return False without a usable file.

        An unusable file is quarantined. Raises OSError if the file cannot be read: its counts may be valid.
        """
        try:
            content = b"" if self.path.stat().st_size > MAX_BYTES else self.path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            self._restore(accumulator, _decode(content))
        except InvalidStateError as error:
            self.quarantine(str(error))
            return False
        return True

    def quarantine(self, reason: str) -> None:
        """Rename an unusable file, so that it can be inspected, and log the reason."""
        rejected_path = self.path.with_name(f"{self.path.name}.rejected")
        self.path.replace(rejected_path)
        logger.warning("state file rejected", path=str(self.path), moved_to=str(rejected_path), error=reason)

    def save(self, accumulator: Accumulator) -> None:
        """Write the committed counts, in a worker thread if they are many; raise OSError."""
        self.write_atomic(self.serialize(accumulator))

    def serialize(self, accumulator: Accumulator) -> bytes:
        """Return the content of the file; the accumulator must be counting."""
        assert accumulator.since is not None  # noqa: S101  # Narrows the type.
        committed = accumulator.committed
        users = frozenset(chain.from_iterable(committed.latency.values())).union(
            *committed.session_seconds.values()
        )
        body = _Body(
            source=self._source,
            identity=accumulator.identity,
            users=_username_format(accumulator.pseudonyms.username_policy),
            since=accumulator.since,
            position=accumulator.cursor,
            slices=list(accumulator.late_rows.batches),
            bounds=LATENCY_BUCKETS,
            latency=[
                (*key, user, counts.buckets, counts.total)
                for key, counts_by_user in committed.latency.items()
                for user, counts in counts_by_user.items()
            ],
            app_latency=[
                (*key, counts.buckets, counts.total) for key, counts in committed.app_latency.items()
            ],
            session_seconds=[
                (organization, template, user, app, seconds)
                for (organization, template, app), seconds_by_user in committed.session_seconds.items()
                for user, seconds in seconds_by_user.items()
            ],
            traffic=[
                (*key, received, committed.transmitted[key]) for key, received in committed.received.items()
            ],
            fine=_encode_exponential_buckets(committed) if accumulator.exponential else None,
            user_filter=_filter_fingerprint(accumulator.filters.settings.users),
            user_ids=accumulator.pseudonyms.export_ids(users),
        )
        payload = msgspec.json.encode(body)
        header = _Header(FORMAT, VERSION, hashlib.sha256(payload).hexdigest())
        return msgspec.json.encode(header) + b"\n" + payload + b"\n"

    def write_atomic(self, content: bytes) -> None:
        """Replace the file atomically; raise OSError, after which the old file is unchanged."""
        temporary = self.path.with_name(f"{self.path.name}.new")
        try:
            # A file of a crashed process, or a link to another file, must keep neither content nor mode.
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123  # Opens a descriptor.
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
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
            raise InvalidStateError(f'source: expected "{self._source}", got "{body.source}"')
        if body.bounds != LATENCY_BUCKETS:
            raise InvalidStateError("bounds: expected the latency buckets of this version")
        if body.since.tzinfo is None:
            raise InvalidStateError("since: expected a time with a UTC offset")
        convert = _user_converter(accumulator, body)
        allows = accumulator.filters.allows_template
        aggregate = Aggregate()
        exponential_buckets = _decode_exponential_buckets(body, enabled=accumulator.exponential)
        for key, stored_user, counts in _decode_histograms(body.latency, exponential_buckets):
            if allows(key) and (user := convert(stored_user)) is not None:
                aggregate.latency.setdefault(key, {})[user] = counts
        for key, app, counts in _decode_histograms(body.app_latency, exponential_buckets):
            if allows(key):
                aggregate.app_latency[(*key, app)] = counts
        for organization, template, stored_user, app, seconds in body.session_seconds:
            key = TemplateKey(organization, template)
            if allows(key) and (user := convert(stored_user)) is not None:
                aggregate.add_session_time(key, user, app, seconds=seconds)
        for organization, template, received, transmitted in body.traffic:
            if allows(key := TemplateKey(organization, template)):
                aggregate.add_traffic(key, received=received, transmitted=transmitted)
        accumulator.reset(body.since, identity=body.identity, cursor=body.position, batches=body.slices)
        accumulator.committed = aggregate
        accumulator.pseudonyms.restore_ids(_convert_ids(accumulator, body, convert))


def _user_converter(accumulator: Accumulator, body: _Body) -> _ConvertUser:
    """Return the conversion of stored users to the configured ``privacy.users``."""
    policy, filters = accumulator.pseudonyms.username_policy, accumulator.filters
    if policy.hides_users:
        return lambda _: None
    if body.users == "named":
        return accumulator.pseudonyms.display_name
    if body.users != _username_format(policy):
        raise InvalidStateError("users: cannot be converted to the configured privacy.users")
    if not filters.allows_all_users and body.user_filter != _filter_fingerprint(filters.settings.users):
        logger.warning("user counters reset", error="filters.users changed, and the stored users are hashed")
        return lambda _: None
    return lambda user: user


def _convert_ids(accumulator: Accumulator, body: _Body, convert: _ConvertUser) -> dict[str, str]:
    pseudonymize = accumulator.pseudonyms.username_policy.pseudonymize
    is_hashed = body.users != "named"
    return {
        (stored_id if is_hashed else pseudonymize(stored_id) or ""): user
        for stored_id, stored_user in body.user_ids.items()
        if (user := convert(stored_user)) is not None
    }


def _filter_fingerprint(users: NameFilter) -> str:
    if not users.allow and not users.deny:
        return ""
    return hashlib.sha256(msgspec.json.encode((users.allow, users.deny))).hexdigest()


def _decode(content: bytes) -> _Body:
    header_line, _, remainder = content.partition(b"\n")
    try:
        header = msgspec.json.decode(header_line, type=_Header)
    except msgspec.DecodeError:
        raise InvalidStateError("expected a state file of agent statistics") from None
    if header.format != FORMAT:
        raise InvalidStateError("expected a state file of agent statistics")
    if header.version != VERSION:
        raise InvalidStateError(f"version: expected {VERSION}, got {header.version}")
    payload = remainder.removesuffix(b"\n")
    if not hmac.compare_digest(hashlib.sha256(payload).hexdigest(), header.sha256):
        raise InvalidStateError(
            "sha256: expected the checksum of the content; the file is truncated or damaged"
        )
    try:
        return msgspec.json.decode(payload, type=_Body)
    except msgspec.DecodeError as error:
        raise InvalidStateError(f"invalid content: {error}") from None


def _decode_histograms(
    rows: list[_HistogramRow], exponential_buckets: Iterator[dict[int, int]]
) -> Iterator[tuple[TemplateKey, str, HistogramCounts]]:
    for organization, template, name, buckets, total in rows:
        if len(buckets) != BUCKET_COUNT:
            raise InvalidStateError(f"histogram: expected {BUCKET_COUNT} buckets, got {len(buckets)}")
        try:
            packed_counts = pack_counts(buckets)
        except ValueError as error:
            raise InvalidStateError(f"histogram: {error}") from None
        yield (
            TemplateKey(organization, template),
            name,
            HistogramCounts(packed_counts, total, next(exponential_buckets)),
        )


def _encode_exponential_buckets(committed: Aggregate) -> list[dict[int, int]]:
    by_user = chain.from_iterable(users.values() for users in committed.latency.values())
    return [counts.exponential_buckets or {} for counts in chain(by_user, committed.app_latency.values())]


def _decode_exponential_buckets(body: _Body, *, enabled: bool) -> Iterator[dict[int, int]]:
    """Return the exponential buckets of each histogram in turn, or endless empty ones if disabled."""
    if not enabled:
        return iter(dict, None)
    if body.fine is None or len(body.fine) != len(body.latency) + len(body.app_latency):
        raise InvalidStateError("fine: expected exponential buckets, which this configuration counts")
    return iter(body.fine)


def _username_format(username_policy: UsernamePolicy) -> str:
    """Return the form of stored users; the form of hashed users identifies the key."""
    if username_policy.hides_users:
        return "off"
    if username_policy.shows_names:
        return "named"
    return f"hashed {username_policy.pseudonymize('state file')}"
