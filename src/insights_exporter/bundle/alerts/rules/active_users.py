"""Rules on active users and licensed seats."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import (
    TEMPLATE_SUBJECT,
    TEMPLATE_VARIABLES,
    Alert,
    PanelLink,
    RecordingRule,
    RuleGroup,
    Severity,
)
from insights_exporter.bundle.alerts.thresholds import format_threshold
from insights_exporter.bundle.promql import Expr, QueryBuilder, not_equal, share
from insights_exporter.bundle.registry import (
    CAPACITY_PLANNING,
    DEPLOYMENT_OVERVIEW,
    TEMPLATE_INSIGHTS,
    USER_SUPPORT,
)
from insights_exporter.metrics import catalogue

__all__ = ["LAST_DAY", "SEATS_FEATURE", "activity_group", "group"]

LAST_DAY: Final = {"interval": "day", "ago": "1"}
"""Labels of the last complete day."""

SEATS_FEATURE: Final = "user_limit"
"""Coder's name for the licensed seats."""


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on active users and seats."""
    ratio, seats_used, seats_ratio = _week_ratio(options), _seats_used(options), _seats_ratio(options)
    expected_users = _expected_users(options)
    return RuleGroup(
        slug="active-users",
        title="Active users",
        interval="1m",
        recordings=(ratio, expected_users, seats_used, seats_ratio),
        alerts=(
            _template_drop(options, expected_users),
            _deployment_drop(options, ratio),
            _seats_almost_used(options, seats_ratio),
            _seats_forecast(options, seats_used),
            _license_almost_used(options),
        ),
    )


def activity_group(options: InstallOptions) -> RuleGroup:
    """Return the rules on seats without use."""
    idle_seats = RecordingRule(
        name="deployment:coder_insights_users:idle_30d",
        expr=f"clamp_min(({_seats(options.query)}) - {_users_30d(options.query)}, 0)",
        labels=options.target_labels,
        description="Taken seats minus the users of the last 30 days.",
    )
    return RuleGroup(
        slug="activity",
        title="User activity",
        interval="1m",
        recordings=(idle_seats,),
        alerts=(_seats_idle(options, idle_seats),),
    )


def _seats(query: QueryBuilder) -> str:
    # Without a license Coder reports no use of seats; then every active account takes one.
    licensed = query.latest(catalogue.LICENSE_FEATURE_USED, feature=SEATS_FEATURE)
    return f"{licensed}\nor\n{query.latest(catalogue.USERS, status='active')}"


def _seat_limit(query: QueryBuilder) -> Expr:
    return query.latest(catalogue.LICENSE_FEATURE_LIMIT, feature=SEATS_FEATURE)


def _users_30d(query: QueryBuilder) -> Expr:
    return query.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, window="30d")


def _week_ratio(options: InstallOptions) -> RecordingRule:
    query = options.query
    now = query.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, **LAST_DAY)
    before = query.at_offset(catalogue.DEPLOYMENT_ACTIVE_USERS, "7d", **LAST_DAY)
    return RecordingRule(
        name="deployment:coder_insights_deployment_active_users:week_ratio",
        expr=share(now, before),
        labels=options.target_labels,
        description="Users of the last complete day divided by those of the same weekday a week before.",
    )


def _expected_users(options: InstallOptions) -> RecordingRule:
    before = options.query.at_offset(catalogue.TEMPLATE_ACTIVE_USERS, "7d", **LAST_DAY)
    ratio = _week_ratio(options).selector(options.query)
    return RecordingRule(
        name="template:coder_insights_template_active_users:expected",
        expr=f"{before}\n* {options.on_target} group_left ()\nclamp_max({ratio}, 1)",
        labels=options.template_labels,
        description="Users of the template a week before, reduced by the loss of the whole deployment.",
    )


def _seats_used(options: InstallOptions) -> RecordingRule:
    # A recorded series has no instance label, so that a forecast covers more than one pod's life.
    return RecordingRule(
        name="deployment:coder_insights_users:active",
        expr=_seats(options.query),
        labels=options.target_labels,
        description="Taken seats as the license counts them; without a license, active accounts.",
    )


def _seats_ratio(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="deployment:coder_insights_users:seats_ratio",
        expr=share(_seats_used(options).selector(options.query), _seat_limit(options.query)),
        labels=options.target_labels,
        description="Taken seats divided by licensed seats.",
    )


def _template_drop(options: InstallOptions, expected_users: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    now = query.latest(catalogue.TEMPLATE_ACTIVE_USERS, **LAST_DAY)
    return Alert(
        name="CoderInsightsTemplateActiveUsersDrop",
        expr=(
            f"{expected_users.selector(query)} - {now} >= {thresholds.drop_users:g}\n"
            f"and\n{now} <= {1 - thresholds.drop_share:.6g} * {expected_users.selector(query)}"
        ),
        for_="3h",
        severity=Severity.WARNING,
        summary=f"A template lost at least {thresholds.drop_share:.0%} of its users within a week.",
        description=(
            f"{TEMPLATE_SUBJECT}:"
            ' {{ printf "%.0f" $value }} users fewer than on the same weekday last week, at least'
            f" {thresholds.drop_share:.0%}. The trend of the whole deployment is deducted."
        ),
        rationale=(
            "The comparison with the same weekday and with all templates excludes weekends and holidays;"
            " Coder corrects a day until three hours after its end."
        ),
        thresholds=("drop_share", "drop_users"),
        panel=PanelLink(TEMPLATE_INSIGHTS.slug, "Daily active users", TEMPLATE_VARIABLES),
    )


def _deployment_drop(options: InstallOptions, ratio: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    now = query.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, **LAST_DAY)
    before = query.at_offset(catalogue.DEPLOYMENT_ACTIVE_USERS, "7d", **LAST_DAY)
    return Alert(
        name="CoderInsightsDeploymentActiveUsersDrop",
        expr=(
            f"{ratio.selector(query)} <= {1 - thresholds.drop_share:.6g}\n"
            f"and\n{before} - {now} >= {thresholds.drop_users:g}"
        ),
        for_="3h",
        severity=Severity.INFO,
        summary="Coder had far fewer users than a week before.",
        description=(
            "Yesterday Coder had {{ $value | humanizePercentage }} of the users of the same weekday last"
            " week. Likely causes: a holiday or an outage."
        ),
        rationale="On a holiday the drop is expected; other alerts cover outages.",
        thresholds=("drop_share", "drop_users"),
        panel=PanelLink(DEPLOYMENT_OVERVIEW.slug, "Active users, deployment"),
    )


def _seats_almost_used(options: InstallOptions, seats_ratio: RecordingRule) -> Alert:
    thresholds = options.thresholds
    return Alert(
        name="CoderInsightsSeatsAlmostUsed",
        expr=f"{seats_ratio.selector(options.query)} > {thresholds.seats_share:g}",
        for_="1h",
        severity=Severity.WARNING,
        summary="Almost all seats of the license are taken.",
        description=(
            "{{ $value | humanizePercentage }} of the licensed seats are taken. Without a free seat, new"
            " users cannot use Coder."
        ),
        rationale="The last tenth covers the time that a purchase takes; seats change slowly.",
        thresholds=("seats_share",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Seats"),
    )


def _seats_forecast(options: InstallOptions, seats: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    seconds_ahead = f"{thresholds.seats_days:g} * 86400"
    return Alert(
        name="CoderInsightsSeatsRunningOut",
        expr=(
            f"predict_linear({seats.selector(query)}[14d], {seconds_ahead})\n"
            f"> {options.on_target}\n{_seat_limit(query)}\n"
            f"and {options.on_target}\n{seats.selector(query)} offset 7d"
        ),
        for_="6h",
        severity=Severity.WARNING,
        summary=f"The license runs out of seats within {format_threshold(thresholds.seats_days, 'days')}.",
        description=(
            'At the growth of the last two weeks, {{ printf "%.0f" $value }} seats are needed in'
            f" {thresholds.seats_days:g} days, more than the license has."
        ),
        rationale="A linear forecast over two weeks, with at least one week of data, excludes single days.",
        thresholds=("seats_days",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Seat forecast"),
    )


def _license_almost_used(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    # Seats have an alert of their own.
    matcher = {"feature": not_equal(SEATS_FEATURE)}
    used = query.latest(catalogue.LICENSE_FEATURE_USED, **matcher)
    limit = query.latest(catalogue.LICENSE_FEATURE_LIMIT, **matcher)
    return Alert(
        name="CoderInsightsLicenseAlmostUsed",
        expr=f"{share(used, limit)} > {thresholds.license_share:g}",
        for_="1h",
        severity=Severity.WARNING,
        summary="A licensed feature is close to its limit.",
        description=(
            "Feature {{ $labels.feature }} uses {{ $value | humanizePercentage }} of its licensed limit."
        ),
        rationale="The last tenth covers the time that a purchase takes; an hour excludes a short peak.",
        thresholds=("license_share",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Licence meters"),
    )


def _seats_idle(options: InstallOptions, idle_seats: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    idle, seats = idle_seats.selector(query), _seats_used(options).selector(query)
    return Alert(
        name="CoderInsightsSeatsIdle",
        expr=(
            f"{idle} >= {thresholds.idle_seats:g}\n"
            f"and\n{share(idle, seats)} >= {thresholds.idle_seats_share:g}"
        ),
        for_="6h",
        severity=Severity.INFO,
        summary="Many seats had no use for 30 days.",
        description="{{ $value | humanize }} seats are taken by accounts without use in the last 30 days.",
        rationale="The alert has a count and no names; the dashboard shows names to readers with access.",
        thresholds=("idle_seats", "idle_seats_share"),
        panel=PanelLink(USER_SUPPORT.slug, "Users without activity"),
    )
