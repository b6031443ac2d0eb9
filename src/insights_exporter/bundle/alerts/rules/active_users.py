"""Who works in Coder, and for how many there is room."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, RuleGroup, Severity
from insights_exporter.bundle.alerts.units import format_threshold
from insights_exporter.bundle.promql import QueryBuilder, share
from insights_exporter.bundle.registry import CAPACITY_PLANNING, DEPLOYMENT_OVERVIEW, TEMPLATE_INSIGHTS
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE_LABELS

__all__ = ["group"]

_LAST_DAY = {"interval": "day", "ago": "1"}


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on active users and seats."""
    query = options.query
    ratio, expected_users, seats, seats_ratio = (
        _week_ratio(query),
        _expected_users(query),
        _seats_used(query),
        _seats_ratio(query),
    )
    return RuleGroup(
        slug="active-users",
        title="Active users",
        interval="1m",
        recordings=(ratio, expected_users, seats, seats_ratio),
        alerts=(
            _template_drop(options, expected_users),
            _deployment_drop(options, ratio),
            _seats_almost_used(options, seats_ratio),
            _seats_forecast(options, seats),
        ),
    )


def _week_ratio(query: QueryBuilder) -> RecordingRule:
    now = query.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, **_LAST_DAY)
    before = query.at_offset(catalogue.DEPLOYMENT_ACTIVE_USERS, "7d", **_LAST_DAY)
    return RecordingRule(
        name="deployment:coder_insights_deployment_active_users:week_ratio",
        expr=share(now, before),
        labels=("job",),
        description="Users of the last complete day, as a share of those of the same weekday a week before.",
    )


def _expected_users(query: QueryBuilder) -> RecordingRule:
    before = query.at_offset(catalogue.TEMPLATE_ACTIVE_USERS, "7d", **_LAST_DAY)
    ratio = _week_ratio(query).selector(query)
    return RecordingRule(
        name="template:coder_insights_template_active_users:expected",
        expr=f"{before}\n* on (job) group_left ()\nclamp_max({ratio}, 1)",
        labels=("job", *TEMPLATE_LABELS),
        description="Users that a template had on the same weekday a week before, less what all templates lost.",
    )


def _seats_used(query: QueryBuilder) -> RecordingRule:
    # Recorded, as a straight line through one pod's life is no forecast.
    return RecordingRule(
        name="deployment:coder_insights_users:active",
        expr=str(query.latest(catalogue.USERS, status="active")),
        labels=("job",),
        description="Accounts that take a seat.",
    )


def _seats_ratio(query: QueryBuilder) -> RecordingRule:
    return RecordingRule(
        name="deployment:coder_insights_users:seats_ratio",
        expr=share(_seats_used(query).selector(query), query.latest(catalogue.LICENSE_USER_LIMIT)),
        labels=("job",),
        description="Share of the licence's seats that are taken.",
    )


def _template_drop(options: InstallOptions, expected_users: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    now = query.latest(catalogue.TEMPLATE_ACTIVE_USERS, **_LAST_DAY)
    return Alert(
        name="CoderInsightsTemplateActiveUsersDrop",
        expr=(
            f"{expected_users.selector(query)} - {now} >= {thresholds.drop_users:g}\n"
            f"and\n{now} <= {1 - thresholds.drop_share:.6g} * {expected_users.selector(query)}"
        ),
        for_="3h",
        severity=Severity.WARNING,
        summary=f"A template lost {thresholds.drop_share:.0%} of its users or more within a week.",
        description=(
            "Yesterday template {{ $labels.template_name }} of {{ $labels.organization_name }} had"
            ' {{ printf "%.0f" $value }} users fewer than the same weekday a week before let expect,'
            f" a loss of {thresholds.drop_share:.0%} or more that other templates do not share."
        ),
        rationale=(
            "Compared with the same weekday and with what all templates lost, so weekends and holidays are"
            " silent; Coder still corrects a day for three hours after its end."
        ),
        thresholds=("drop_share", "drop_users"),
        panel=PanelLink(
            TEMPLATE_INSIGHTS.slug,
            "Daily active users",
            {"organization": "organization_name", "template": "template_name"},
        ),
    )


def _deployment_drop(options: InstallOptions, ratio: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    now = query.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, **_LAST_DAY)
    before = query.at_offset(catalogue.DEPLOYMENT_ACTIVE_USERS, "7d", **_LAST_DAY)
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
            "Yesterday Coder had {{ $value | humanizePercentage }} of the users of the same weekday a week"
            " before: a holiday, or something that kept people away."
        ),
        rationale="On a holiday this is right and nobody's fault; where something broke, other alerts tell.",
        thresholds=("drop_share", "drop_users"),
        panel=PanelLink(DEPLOYMENT_OVERVIEW.slug, "Active users"),
    )


def _seats_almost_used(options: InstallOptions, seats_ratio: RecordingRule) -> Alert:
    thresholds = options.thresholds
    return Alert(
        name="CoderInsightsSeatsAlmostUsed",
        expr=f"{seats_ratio.selector(options.query)} > {thresholds.seats_share:g}",
        for_="1h",
        severity=Severity.WARNING,
        summary="Almost all seats of the licence are taken.",
        description=(
            "{{ $value | humanizePercentage }} of the licence's seats are taken. Without a free seat, new"
            " colleagues cannot use Coder."
        ),
        rationale="The last tenth is the time that buying takes; accounts do not come and go within an hour.",
        thresholds=("seats_share",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Seats left"),
    )


def _seats_forecast(options: InstallOptions, seats: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    seconds_ahead = f"{thresholds.seats_days:g} * 86400"
    return Alert(
        name="CoderInsightsSeatsRunningOut",
        expr=(
            f"predict_linear({seats.selector(query)}[14d], {seconds_ahead})\n"
            f"> on (job)\n{query.latest(catalogue.LICENSE_USER_LIMIT)}\n"
            f"and on (job)\n{seats.selector(query)} offset 7d"
        ),
        for_="6h",
        severity=Severity.WARNING,
        summary=f"The licence's seats run out within {format_threshold(thresholds.seats_days, 'days')}.",
        description=(
            'If accounts keep growing as in the last two weeks, {{ printf "%.0f" $value }} of them will need'
            f" a seat in {thresholds.seats_days:g} days, more than the licence grants."
        ),
        rationale="A line through two weeks, of which one must have passed, does not follow one busy morning.",
        thresholds=("seats_days",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Seats"),
    )
