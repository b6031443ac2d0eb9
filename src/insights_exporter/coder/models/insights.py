"""Responses of the insights endpoints."""

from __future__ import annotations

from msgspec import Struct, field

from insights_exporter.coder.models.fields import Count, Id, Milliseconds, Text, Time, check_times, to_seconds
from insights_exporter.coder.models.inventory import ParameterOption

__all__ = [
    "AppUsage",
    "ConnectionLatency",
    "IntervalReport",
    "ParameterUsage",
    "ParameterValue",
    "TemplateInsights",
    "TemplateReport",
    "UserActivity",
    "UserActivityReport",
    "UserActivityResponse",
    "UserLatency",
    "UserLatencyReport",
    "UserLatencyResponse",
]


class AppUsage(Struct, frozen=True, gc=False):
    """Usage of one app; ``times_used`` is None on servers that do not count opens."""

    slug: Text
    seconds: Count
    type: Text = ""
    display_name: Text = ""
    icon: Text = ""
    times_used: Count | None = None
    family: Text = ""
    template_ids: list[Text] = []


class ParameterValue(Struct, frozen=True, gc=False):
    """Number of workspaces with a value."""

    value: Text
    count: Count


class ParameterUsage(Struct, frozen=True, gc=False):
    """Values of one declaration of a parameter; template versions may declare one name differently."""

    name: Text
    display_name: Text = ""
    type: Text = ""
    description: Text = ""
    template_ids: list[Text] = []
    options: list[ParameterOption] = []
    values: list[ParameterValue] = []


class TemplateReport(Struct, frozen=True, gc=False):
    """Section ``report`` of ``/insights/templates``; ``active_users`` is None if unknown."""

    start_time: Time | None = None
    end_time: Time | None = None
    active_users: Count | None = None
    template_ids: list[Text] = []
    apps_usage: list[AppUsage] = []
    parameters_usage: list[ParameterUsage] = []

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.start_time, self.end_time)


class IntervalReport(Struct, frozen=True, gc=False):
    """One day or week of section ``interval_reports`` of ``/insights/templates``."""

    start_time: Time
    end_time: Time
    active_users: Count
    interval: Text = ""
    template_ids: list[Text] = []

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.start_time, self.end_time)


class TemplateInsights(Struct, frozen=True, gc=False):
    """``/insights/templates``; a section that was not requested is None or empty."""

    report: TemplateReport | None = None
    interval_reports: list[IntervalReport] = []
    dropped: int = field(default=0, name="")
    """Invalid parts of the response, which were dropped. Set by the client; Coder sends no empty key."""


class UserActivity(Struct, frozen=True, gc=False):
    """Active seconds of a user in the selected templates."""

    user_id: Id
    seconds: Count
    username: Text = ""
    template_ids: list[Text] = []


class UserActivityReport(Struct, frozen=True, gc=False):
    """Active users in a time range, and the templates that they used."""

    start_time: Time | None = None
    end_time: Time | None = None
    template_ids: list[Text] = []
    users: list[UserActivity] = []

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.start_time, self.end_time)

    dropped: int = field(default=0, name="")
    """Invalid parts of the response, which were dropped."""


class UserActivityResponse(Struct, frozen=True, gc=False):
    """``/insights/user-activity``."""

    report: UserActivityReport


class ConnectionLatency(Struct, frozen=True, gc=False):
    """Connection latency of a user in milliseconds; the keys are lower case here."""

    p50: Milliseconds = -1
    p95: Milliseconds = -1


class UserLatency(Struct, frozen=True, gc=False):
    """Round-trip time of a user to workspaces of the selected templates."""

    user_id: Id
    username: Text = ""
    latency_ms: ConnectionLatency = ConnectionLatency()
    template_ids: list[Text] = []

    @property
    def p50_seconds(self) -> float | None:
        """The median; None without a measurement."""
        return to_seconds(self.latency_ms.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile; None without a measurement."""
        return to_seconds(self.latency_ms.p95)


class UserLatencyReport(Struct, frozen=True, gc=False):
    """Connection latency by user in a time range."""

    start_time: Time | None = None
    end_time: Time | None = None
    template_ids: list[Text] = []
    users: list[UserLatency] = []

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.start_time, self.end_time)

    dropped: int = field(default=0, name="")
    """Invalid parts of the response, which were dropped."""


class UserLatencyResponse(Struct, frozen=True, gc=False):
    """``/insights/user-latency``."""

    report: UserLatencyReport
