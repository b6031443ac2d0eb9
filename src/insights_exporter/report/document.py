"""The report as a document: the content of its JSON form, from which tables and HTML are made.

Times are seconds, ratios are from 0 to 1. A value is null if it is unknown or withheld by the privacy rules.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "SCHEMA_VERSION",
    "AppRow",
    "DayRow",
    "LatencyBands",
    "Measure",
    "OrganizationRow",
    "ParameterRow",
    "ParameterValueRow",
    "PeriodInfo",
    "PrivacyInfo",
    "Report",
    "Source",
    "Summary",
    "TemplateName",
    "TemplateRow",
    "UserRow",
    "WeekRow",
    "json_schema",
]

SCHEMA_VERSION: Final = 1
"""Increases with every change that can break a reader; new fields do not change it."""


class _Row(Struct, frozen=True, kw_only=True):
    """Base of all parts."""


class Measure(_Row, frozen=True, kw_only=True):
    """A number of the period, and of the period before it."""

    value: float | None = None
    previous: float | None = None
    change: Annotated[
        float | None, Meta(description="Difference as a share of the previous value; 0.1 is 10 % more.")
    ] = None


class PeriodInfo(_Row, frozen=True, kw_only=True):
    """A period of whole days."""

    name: Annotated[str, Meta(description='Short name, such as "2026-10".')]
    title: str
    first_day: date
    last_day: Annotated[date, Meta(description="Last day that the report covers.")]
    days: int
    start: datetime
    end: Annotated[datetime, Meta(description="End of the range, excluded.")]


class Source(_Row, frozen=True, kw_only=True):
    """Origin of the data."""

    coder_url: str
    coder_version: str
    exporter_version: str
    collected_at: datetime
    utc_offset_hours: Annotated[int, Meta(description="Start of days, in hours east of UTC.")]
    organizations: Annotated[
        Sequence[str],
        Meta(description="Organizations of the whole report; empty if it covers the deployment."),
    ] = ()


class PrivacyInfo(_Row, frozen=True, kw_only=True):
    """Privacy rules that were applied."""

    usernames: Annotated[str, Meta(description="Setting privacy.users: named, hashed or off.")]
    has_filters: Annotated[bool, Meta(description="Whether filters leave out templates or users.")]
    min_group_size: Annotated[
        int, Meta(description="Numbers of fewer users are withheld; 0 withholds none.")
    ] = 0


class LatencyBands(_Row, frozen=True, kw_only=True):
    """Users by the median of their round-trip time, in the bands of Coder's page."""

    good: Annotated[int | None, Meta(description="Users below 0.15 s.")] = None
    fair: Annotated[int | None, Meta(description="Users from 0.15 s to below 0.3 s.")] = None
    slow: Annotated[int | None, Meta(description="Users at 0.3 s and above.")] = None
    unmeasured: Annotated[int | None, Meta(description="Active users without a measurement.")] = None
    median_seconds: Annotated[float | None, Meta(description="Median of the users' medians.")] = None


class Summary(_Row, frozen=True, kw_only=True):
    """Headline numbers of the deployment."""

    active_users: Measure
    new_users: Annotated[
        Measure, Meta(description="Active users without earlier usage; at least a year is searched.")
    ]
    lost_users: Annotated[
        int | None, Meta(description="Users of the period before without usage in this one.")
    ] = None
    usage_seconds: Annotated[
        Measure, Meta(description="Time of all users; parallel use of templates counts once.")
    ]
    usage_seconds_per_user: Annotated[Measure, Meta(description="Time per active user.")]
    daily_active_users: Annotated[Measure, Meta(description="Mean of the active users by day.")]
    active_days_per_user: Annotated[
        Measure, Meta(description="Mean number of days on which an active user was active.")
    ]
    active_days_ratio: Annotated[
        float | None, Meta(description="Active days per user as a share of the days of the period.")
    ] = None
    templates_in_use: Measure
    templates: Annotated[int, Meta(description="Templates at the time of the report.")]
    good_latency_ratio: Annotated[Measure, Meta(description="Share of measured users below 0.15 s.")]
    accounts: Annotated[
        int | None, Meta(description="Accounts with status active at the time of the report.")
    ] = None
    adoption_ratio: Annotated[
        float | None, Meta(description="Active users of the period as a share of the accounts.")
    ] = None
    idle_accounts: Annotated[
        int | None, Meta(description="Active accounts without usage in the period; no service accounts.")
    ] = None
    seats: Annotated[int | None, Meta(description="Seats of the licence.")] = None
    seats_used: Annotated[int | None, Meta(description="Seats in use by the licence's own count.")] = None
    seats_ratio: Annotated[float | None, Meta(description="Seats in use as a share of the seats.")] = None


class WeekRow(_Row, frozen=True, kw_only=True):
    """Active users of a week from Monday to Sunday, which may begin before the period."""

    first_day: date
    last_day: date
    active_users: int | None
    is_over: bool


class DayRow(_Row, frozen=True, kw_only=True):
    """Active users of a day."""

    day: date
    active_users: int | None
    is_over: bool


class TemplateName(_Row, frozen=True, kw_only=True):
    """Identity of a template."""

    organization: str
    template: str
    display_name: str


class AppRow(_Row, frozen=True, kw_only=True):
    """Usage of one app; times of several apps can overlap."""

    slug: str
    type: Annotated[str, Meta(description="builtin or app.")]
    display_name: str
    usage_seconds: Measure
    share: Annotated[float | None, Meta(description="Share of the sum over all apps.")] = None
    opens: Annotated[int | None, Meta(description="Null for builtin apps, which Coder does not count.")] = (
        None
    )


class OrganizationRow(_Row, frozen=True, kw_only=True):
    """Usage of the templates of one organization."""

    organization: str
    active_users: Annotated[Measure, Meta(description="Each user counts once.")]
    usage_seconds: Annotated[Measure, Meta(description="Sum over the templates of the organization.")]
    usage_seconds_per_user: float | None = None
    share: Annotated[float | None, Meta(description="Share of the sum over all templates.")] = None
    templates_in_use: int
    templates: int


class TemplateRow(TemplateName, frozen=True, kw_only=True):
    """Usage of one template."""

    deprecated: bool
    active_users: Measure
    usage_seconds: Measure
    usage_seconds_per_user: float | None = None
    active_days_per_user: float | None = None
    share: Annotated[float | None, Meta(description="Share of the sum over all templates.")] = None
    latency: LatencyBands
    apps: Sequence[AppRow] = ()


class ParameterValueRow(_Row, frozen=True, kw_only=True):
    """Workspaces with one value of a parameter."""

    value: Annotated[
        str | None, Meta(description="Null for all values that the privacy rules withhold, together.")
    ]
    display_name: str
    workspaces: int | None
    is_unused: Annotated[bool, Meta(description="Whether no workspace of the period has the value.")]


class ParameterRow(TemplateName, frozen=True, kw_only=True):
    """Values of one parameter of a template, from the newest build of each workspace in the period."""

    parameter: str
    parameter_display_name: str
    type: str
    values: Sequence[ParameterValueRow]


class UserRow(_Row, frozen=True, kw_only=True):
    """Usage of one user in all templates."""

    user: Annotated[str, Meta(description="Username or its hash.")]
    usage_seconds: float
    latency_p50_seconds: float | None = None
    latency_p95_seconds: float | None = None


class Report(_Row, frozen=True, kw_only=True):
    """Usage of a Coder deployment in a period, compared with the period before."""

    schema_version: int = SCHEMA_VERSION
    period: PeriodInfo
    previous_period: Annotated[
        PeriodInfo | None, Meta(description="Null if Coder has no data of the whole period before.")
    ] = None
    is_over: Annotated[bool, Meta(description="False if the report covers only a part of the period.")]
    is_final: Annotated[bool, Meta(description="False if Coder may still change the last hours.")]
    source: Source
    privacy: PrivacyInfo
    notes: Annotated[Sequence[str], Meta(description="Sentences that limit what the numbers mean.")] = ()
    summary: Summary
    weeks: Annotated[
        Sequence[WeekRow], Meta(description="Weeks of the period before and of the period, oldest first.")
    ] = ()
    days: Annotated[Sequence[DayRow], Meta(description="Days of the period, oldest first.")] = ()
    organizations: Annotated[Sequence[OrganizationRow], Meta(description="Most used first.")] = ()
    templates: Annotated[
        Sequence[TemplateRow],
        Meta(description="Templates used in the period or in the period before, most used first."),
    ] = ()
    unused_templates: Annotated[Sequence[TemplateName], Meta(description="Used in neither period.")] = ()
    apps: Annotated[Sequence[AppRow], Meta(description="Apps of the deployment, most used first.")] = ()
    latency: LatencyBands
    previous_latency: LatencyBands | None = None
    parameters: Annotated[
        Sequence[ParameterRow], Meta(description="Parameters of the most used templates first.")
    ] = ()
    users: Annotated[
        Sequence[UserRow], Meta(description="Most active first; empty if usernames are hidden.")
    ] = ()
    idle_accounts: Annotated[
        Sequence[str],
        Meta(description="Active accounts without usage in the period; empty if usernames are hidden."),
    ] = ()


def json_schema() -> str:
    """Return the JSON Schema of the document."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of insights-exporter",
    }
    return json.dumps(schema | msgspec.json.schema(Report), indent=2) + "\n"
