"""The API protocol, results, error reporting and scheduling that all collectors share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar
from zlib import crc32

import structlog

from insights_exporter.coder import models
from insights_exporter.coder.client import Interval, Section
from insights_exporter.coder.models import AuthorizationCheck
from insights_exporter.coder.pagination import Rows
from insights_exporter.coder.versions import Feature, ServerVersion
from insights_exporter.config.settings import PollSettings
from insights_exporter.errors import (
    AuthError,
    DeadlineExceeded,
    ExporterError,
    LoginPageReturned,
    RedirectRefused,
    SecretError,
    TLSError,
)
from insights_exporter.snapshot import ParameterOption
from insights_exporter.telemetry import Telemetry

__all__ = [
    "FATAL_ERRORS",
    "CachedList",
    "CoderApi",
    "CollectResult",
    "ErrorReporter",
    "InsightsApi",
    "ReportedErrors",
    "is_expired",
    "is_refresh_due",
    "merge_options",
    "run_limited",
    "run_limited_unwrapped",
]

logger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

FATAL_ERRORS: Final = (
    AuthError,
    DeadlineExceeded,
    LoginPageReturned,
    RedirectRefused,
    SecretError,
    TLSError,
)
"""Errors that every further request of the poll would meet, too."""

MAX_CONCURRENT: Final = 4
"""Concurrent tasks of a collector; more than the client's concurrency, so that a task in a retry delay does
not leave a connection idle."""


class InsightsApi(Protocol):
    """The insights endpoints; each request raises a subclass of UpstreamError, or SecretError."""

    @property
    def version(self) -> ServerVersion | None:
        """The server's version; None while unknown."""
        ...

    def is_unsupported(self, feature: Feature) -> bool:
        """Return whether the server's version is known and lacks the feature."""
        ...

    async def template_insights(
        self,
        start: datetime,
        end: datetime,
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,
        sections: Sequence[Section] = ("report",),
    ) -> models.TemplateInsights:
        """Return users, apps and parameters of a range."""
        ...

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserActivityReport:
        """Return each active user's time in a range."""
        ...

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserLatencyReport:
        """Return each active user's connection latency in a range."""
        ...


class CoderApi(InsightsApi, Protocol):
    """The API requests of the collectors; each raises a subclass of UpstreamError, or SecretError."""

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which the server's clock is ahead of the local clock; None while unknown."""
        ...

    def with_timeout(self, seconds: float) -> CoderApi:
        """Return a view whose requests together may take that many seconds from now."""
        ...

    async def build_info(self) -> models.BuildInfo:
        """Return the server's version and identity."""
        ...

    async def authcheck(self, checks: Mapping[str, AuthorizationCheck]) -> dict[str, bool]:
        """Return the result of each permission check."""
        ...

    async def token_expiry(self) -> datetime | None:
        """Return the expiry of the token; None where Coder does not list it."""
        ...

    async def entitlements(self) -> models.Entitlements:
        """Return the features of the licence."""
        ...

    async def user_count(self, status: str) -> int:
        """Return the number of accounts with a status."""
        ...

    async def templates(self) -> Rows[models.Template]:
        """Return all templates except deleted ones."""
        ...

    async def users(self) -> list[models.User]:
        """Return the users that the account may list."""
        ...

    async def workspaces(self) -> list[models.Workspace]:
        """Return the workspaces that the account may list."""
        ...

    async def groups(self) -> Rows[models.Group]:
        """Return the groups of all organizations that the account may read."""
        ...

    async def deployment_stats(self) -> models.DeploymentStats:
        """Return current build statuses of all workspaces."""
        ...

    async def rich_parameters(self, version_id: str) -> Rows[models.RichParameter]:
        """Return the parameters that a template version declares."""
        ...


@dataclass(frozen=True, slots=True)
class CollectResult(Generic[T]):
    """A collector's data; ``error_count`` counts the parts that failed and are older or missing."""

    value: T
    error_count: int = 0


@dataclass(slots=True)
class ReportedErrors:
    """Errors already logged and still present, as (resource, reason)."""

    keys: set[tuple[str, str]] = field(default_factory=set)


class ErrorReporter:
    """Counts each error of one collector run and logs an error when it first occurs.

    An error of the previous run is counted without a log event. After a run without it, it is logged again.
    """

    def __init__(self, collector: str, *, telemetry: Telemetry, reported: ReportedErrors) -> None:
        self._collector = collector
        self._telemetry = telemetry
        self._reported = reported
        self._current_keys: set[tuple[str, str]] = set()
        self.error_count = 0

    def report(self, error: ExporterError, *, resource: str = "") -> None:
        """Count an error and log its first occurrence; ``resource`` names the data that could not be read."""
        self.error_count += 1
        self._telemetry.collector_error(self._collector, error.reason)
        key = (resource, error.reason)
        self._current_keys.add(key)
        if key in self._reported.keys:
            return
        self._reported.keys.add(key)
        facts = {"resource": resource} if resource else {}
        logger.warning(
            "collection failed in part",
            collector=self._collector,
            reason=error.reason,
            error=str(error),
            **facts,
        )

    def finish(self) -> None:
        """End the run: forget the errors that did not recur."""
        self._reported.keys &= self._current_keys


@dataclass(slots=True)
class CachedList(Generic[T]):
    """The last successful response of a list.

    ``validated_at`` is when the list was last fetched or still within its refresh interval.
    """

    rows: Sequence[T] = ()
    fetched_at: datetime | None = None
    validated_at: datetime | None = None

    async def refresh(
        self,
        fetch: Callable[[], Awaitable[Sequence[T]]],
        now: datetime,
        reporter: ErrorReporter,
        *,
        resource: str,
        max_staleness: float,
    ) -> Sequence[T]:
        """Fetch the list; after an error return the last one until it is older than ``max_staleness``."""
        try:
            rows = await fetch()
        except ExporterError as error:
            reporter.report(error, resource=resource)
            if is_expired(self.validated_at, now=now, max_age=max_staleness):
                self.rows, self.fetched_at, self.validated_at = (), None, None
        else:
            self.rows = self.rows if self.rows == rows else rows
            self.fetched_at = self.validated_at = now
        return self.rows

    async def refresh_hourly(
        self,
        fetch: Callable[[], Awaitable[Sequence[T]]],
        now: datetime,
        reporter: ErrorReporter,
        *,
        resource: str,
        poll: PollSettings,
    ) -> Sequence[T]:
        """Fetch the list once in ``poll.refresh_interval``; in between return the last one."""
        if self.fetched_at is not None and not is_refresh_due(
            resource, last_refresh=self.fetched_at, now=now, interval=poll.refresh_interval
        ):
            self.validated_at = now
            return self.rows
        return await self.refresh(fetch, now, reporter, resource=resource, max_staleness=poll.max_staleness)


def is_expired(collected_at: datetime | None, *, now: datetime, max_age: float) -> bool:
    """Return whether data is missing or older than ``max_age`` seconds."""
    return collected_at is None or (now - collected_at).total_seconds() > max_age


def is_refresh_due(key: str, *, last_refresh: datetime, now: datetime, interval: float) -> bool:
    """Return whether a new period of ``interval`` seconds began between the two times.

    The phase of the periods is a hash of the key. Refreshes of different keys therefore spread evenly over
    the interval, and replicas refresh the same key at the same time.
    """
    phase = crc32(key.encode()) / 2**32
    return int(now.timestamp() / interval - phase) > int(last_refresh.timestamp() / interval - phase)


def merge_options(
    options: Iterable[ParameterOption], rows: Iterable[models.ParameterOption]
) -> tuple[ParameterOption, ...]:
    """Return options with those of another declaration added; of equal values the first one wins."""
    by_value = {option.value: option for option in options}
    for row in rows:
        by_value.setdefault(row.value, ParameterOption(row.value, row.name, row.icon))
    return tuple(by_value.values())


async def run_limited(
    tasks: Iterable[Callable[[], Awaitable[object]]], max_concurrent: int = MAX_CONCURRENT
) -> None:
    """Run all tasks, at most ``max_concurrent`` at a time; the first exception cancels the rest."""
    queue = iter(tasks)

    async def worker() -> None:
        for task in queue:
            await task()

    async with asyncio.TaskGroup() as group:
        for _ in range(max_concurrent):
            group.create_task(worker())


async def run_limited_unwrapped(
    tasks: Iterable[Callable[[], Awaitable[object]]], max_concurrent: int = MAX_CONCURRENT
) -> None:
    """Run all tasks as ``run_limited`` does; raise the first error itself, and not a group."""
    try:
        await run_limited(tasks, max_concurrent)
    except ExceptionGroup as group:
        # Concurrent tasks usually meet the same error.
        raise group.exceptions[0] from None
