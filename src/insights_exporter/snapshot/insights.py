"""Usage, latency and parameters of templates and of the deployment in the snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from msgspec import Struct

from insights_exporter.snapshot.inventory import ParameterOption, TemplateKey

__all__ = [
    "AppUsage",
    "Insights",
    "Latency",
    "ParameterUsage",
    "TemplateUsage",
    "Totals",
    "UserLatency",
    "WindowUsage",
]


class AppUsage(Struct, frozen=True, gc=False):
    """Usage of one app in a window; ``opens`` is None on servers that do not count opens.

    ``family`` is the kind of app: client programs of one kind, such as VS Code and Cursor, share it.
    """

    slug: str
    type: str
    seconds: float
    opens: int | None = None
    display_name: str = ""
    icon: str = ""
    family: str = ""


class ParameterUsage(Struct, frozen=True, gc=False):
    """Workspaces by value of a parameter; declared options without workspaces are 0."""

    name: str
    type: str
    display_name: str
    values: dict[str, int]
    options: tuple[ParameterOption, ...] = ()


class UserLatency(Struct, frozen=True, gc=False):
    """A user's round-trip time in seconds; None without a measurement."""

    username: str
    p50: float | None
    p95: float | None


class Latency(Struct, frozen=True, gc=False):
    """Round-trip times in seconds by username; ``users`` includes users without a measurement.

    Stored as columns, because each family reads one percentile of thousands of users. ``withheld`` says that
    there are too few users to show any number of them.
    """

    users: tuple[str, ...] = ()
    p50: dict[str, float] = {}
    p95: dict[str, float] = {}
    withheld: bool = False

    @classmethod
    def from_rows(cls, rows: Iterable[UserLatency]) -> Latency:
        """Return the columns of rows with distinct usernames."""
        rows = tuple(rows)
        return cls(
            tuple(row.username for row in rows),
            {row.username: row.p50 for row in rows if row.p50 is not None},
            {row.username: row.p95 for row in rows if row.p95 is not None},
        )

    def rows(self) -> Iterator[UserLatency]:
        """Yield one row per user."""
        for user in self.users:
            yield UserLatency(user, self.p50.get(user), self.p95.get(user))


@dataclass(frozen=True, slots=True, eq=False)
class WindowUsage:
    """Usage of one template, or of all, in one window.

    ``apps`` holds each (slug, type) once; known apps without usage have 0 seconds. ``activity`` is seconds by
    username, or by id if the server sent no name. ``active_users`` is None if unknown. ``seconds`` is the sum
    over all users.
    """

    window: str
    start: datetime
    end: datetime
    active_users: int | None = None
    seconds: float = 0.0
    apps: Sequence[AppUsage] = ()
    parameters: Sequence[ParameterUsage] = ()
    activity: Mapping[str, float] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Totals in seconds since the anchor ``since``; they decrease only when the anchor moves.

    ``apps`` is keyed by (slug, type), ``users`` by username.
    """

    since: datetime
    seconds: float = 0.0
    apps: Mapping[tuple[str, str], float] = field(default_factory=dict)
    users: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TemplateUsage:
    """Usage of one template, or of all templates if ``key`` is None.

    ``days[n]`` and ``weeks[n]`` are the active users ``n`` days or weeks ago; None is unknown.
    """

    key: TemplateKey | None
    windows: Sequence[WindowUsage] = ()
    days: Sequence[int | None] = ()
    weeks: Sequence[int | None] = ()
    totals: Totals | None = None


@dataclass(frozen=True, slots=True)
class Insights:
    """Usage of all templates; ``collection_enabled`` is None on servers that do not report it.

    ``today`` is the date of ``days[0]``, None without data.
    """

    deployment: TemplateUsage
    templates: Sequence[TemplateUsage] = ()
    today: date | None = None
    collection_enabled: bool | None = None
    pending_totals: Mapping[TemplateKey | None, str] = field(default_factory=dict)
    """Why totals wait for a response, by template; the deployment's key is None."""
    warm_up_ratio: float = 1.0
    """Share of the needed responses that were fetched since the start; 1 after the first complete poll."""
    postponed_requests: int = 0
    """Requests that the poll left for a later one."""
    windows_updated_at: Mapping[str, datetime] = field(default_factory=dict)
    """When the oldest data of any template was current, by window."""
