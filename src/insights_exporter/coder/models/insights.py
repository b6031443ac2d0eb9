"""How templates are used."""

from __future__ import annotations

from msgspec import Struct

from insights_exporter.coder.models.fields import Count, Id, Milliseconds, Text, Time, to_seconds
from insights_exporter.coder.models.inventory import ParameterOption

__all__ = [
    "AppUsage",
    "ConnectionLatency",
    "DailyUsers",
    "DailyUsersResponse",
    "IntervalReport",
    "ParameterUsage",
    "ParameterValue",
    "StatusCount",
    "TemplateInsights",
    "TemplateReport",
    "UserActivity",
    "UserActivityReport",
    "UserActivityResponse",
    "UserLatency",
    "UserLatencyReport",
    "UserLatencyResponse",
    "UserStatusCountsResponse",
]


class AppUsage(Struct, frozen=True, gc=False):
    """Use of one app; ``times_used`` is None on servers that do not count it."""

    slug: Text
    seconds: Count
    type: Text = ""
    display_name: Text = ""
    icon: Text = ""
    times_used: Count | None = None
    family: Text = ""
    template_ids: list[Text] = []


class ParameterValue(Struct, frozen=True, gc=False):
    """How many workspaces have a value."""

    value: Text
    count: Count


class ParameterUsage(Struct, frozen=True, gc=False):
    """The values of one declaration of a parameter; a name may occur in several declarations."""

    name: Text
    display_name: Text = ""
    type: Text = ""
    description: Text = ""
    template_ids: list[Text] = []
    options: list[ParameterOption] = []
    values: list[ParameterValue] = []


class TemplateReport(Struct, frozen=True, gc=False):
    """The whole range of ``/insights/templates``; ``active_users`` is None where it is unknown."""

    start_time: Time | None = None
    end_time: Time | None = None
    active_users: Count | None = None
    template_ids: list[Text] = []
    apps_usage: list[AppUsage] = []
    parameters_usage: list[ParameterUsage] = []


class IntervalReport(Struct, frozen=True, gc=False):
    """One day or week of ``/insights/templates``."""

    start_time: Time
    end_time: Time
    active_users: Count
    interval: Text = ""
    template_ids: list[Text] = []


class TemplateInsights(Struct, frozen=True, gc=False):
    """``/insights/templates``; a section that was not asked for is None or empty."""

    report: TemplateReport | None = None
    interval_reports: list[IntervalReport] = []


class UserActivity(Struct, frozen=True, gc=False):
    """A user's time in the selected templates."""

    user_id: Id
    seconds: Count
    username: Text = ""


class UserActivityReport(Struct, frozen=True, gc=False):
    """Who was active in a range, and in which templates."""

    start_time: Time | None = None
    end_time: Time | None = None
    template_ids: list[Text] = []
    users: list[UserActivity] = []


class UserActivityResponse(Struct, frozen=True, gc=False):
    """``/insights/user-activity``."""

    report: UserActivityReport


class ConnectionLatency(Struct, frozen=True, gc=False):
    """Milliseconds of a user's connections; the keys are in small letters here."""

    p50: Milliseconds = -1
    p95: Milliseconds = -1


class UserLatency(Struct, frozen=True, gc=False):
    """A user's round trip to the workspaces of the selected templates."""

    user_id: Id
    username: Text = ""
    latency_ms: ConnectionLatency = ConnectionLatency()

    @property
    def p50_seconds(self) -> float | None:
        """The median; None where nothing was measured."""
        return to_seconds(self.latency_ms.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile; None where nothing was measured."""
        return to_seconds(self.latency_ms.p95)


class UserLatencyReport(Struct, frozen=True, gc=False):
    """How good connections were in a range."""

    start_time: Time | None = None
    end_time: Time | None = None
    template_ids: list[Text] = []
    users: list[UserLatency] = []


class UserLatencyResponse(Struct, frozen=True, gc=False):
    """``/insights/user-latency``."""

    report: UserLatencyReport


class StatusCount(Struct, frozen=True, gc=False):
    """How many users had a status at a moment."""

    date: Time
    count: Count


class UserStatusCountsResponse(Struct, frozen=True, gc=False):
    """``/insights/user-status-counts``, keyed by status."""

    status_counts: dict[str, list[StatusCount]]


class DailyUsers(Struct, frozen=True, gc=False):
    """How many users were active on a UTC day, written ``YYYY-MM-DD``."""

    date: Text
    amount: Count


class DailyUsersResponse(Struct, frozen=True, gc=False):
    """``/insights/daus`` and ``/templates/{id}/daus``."""

    entries: list[DailyUsers]
