"""Who works in Coder, and for how many there is room."""

from __future__ import annotations

from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.units import amount
from insights_exporter.bundle.boards import CAPACITY_PLANNING, DEPLOYMENT_OVERVIEW, TEMPLATE_INSIGHTS
from insights_exporter.bundle.queries import Scope, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE

__all__ = ["group"]

_LAST_DAY = {"interval": "day", "ago": "1"}


def group(site: Site) -> Group:
    """Return the rules on active users and seats."""
    scope = site.scope
    ratio, expected, seats, used = _ratio(scope), _expected(scope), _seats(scope), _used(scope)
    return Group(
        subject="active-users",
        title="Active users",
        interval="1m",
        recordings=(ratio, expected, seats, used),
        alerts=(
            _template_drop(site, expected),
            _deployment_drop(site, ratio),
            _seats_almost_used(site, used),
            _seats_forecast(site, seats),
        ),
    )


def _ratio(scope: Scope) -> Recording:
    now = scope.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, **_LAST_DAY)
    before = scope.at(catalogue.DEPLOYMENT_ACTIVE_USERS, "7d", **_LAST_DAY)
    return Recording(
        name="deployment:coder_insights_deployment_active_users:week_ratio",
        expr=share(now, before),
        labels=("job",),
        meaning="Users of the last complete day, as a share of those of the same weekday a week before.",
    )


def _expected(scope: Scope) -> Recording:
    before = scope.at(catalogue.TEMPLATE_ACTIVE_USERS, "7d", **_LAST_DAY)
    ratio = _ratio(scope).read(scope)
    return Recording(
        name="template:coder_insights_template_active_users:expected",
        expr=f"{before}\n* on (job) group_left ()\nclamp_max({ratio}, 1)",
        labels=("job", *TEMPLATE),
        meaning="Users that a template had on the same weekday a week before, less what all templates lost.",
    )


def _seats(scope: Scope) -> Recording:
    # Recorded, as a straight line through one pod's life is no forecast.
    return Recording(
        name="deployment:coder_insights_users:active",
        expr=str(scope.latest(catalogue.USERS, status="active")),
        labels=("job",),
        meaning="Accounts that take a seat.",
    )


def _used(scope: Scope) -> Recording:
    return Recording(
        name="deployment:coder_insights_users:seats_ratio",
        expr=share(_seats(scope).read(scope), scope.latest(catalogue.LICENSE_USER_LIMIT)),
        labels=("job",),
        meaning="Share of the licence's seats that are taken.",
    )


def _template_drop(site: Site, expected: Recording) -> Alert:
    limits, scope = site.thresholds, site.scope
    now = scope.latest(catalogue.TEMPLATE_ACTIVE_USERS, **_LAST_DAY)
    return Alert(
        name="CoderInsightsTemplateActiveUsersDrop",
        expr=(
            f"{expected.read(scope)} - {now} >= {limits.drop_users:g}\n"
            f"and\n{now} <= {1 - limits.drop_share:.6g} * {expected.read(scope)}"
        ),
        wait="3h",
        severity=Severity.WARNING,
        summary=f"A template lost {limits.drop_share:.0%} of its users or more within a week.",
        description=(
            "Yesterday template {{ $labels.template_name }} of {{ $labels.organization_name }} had"
            ' {{ printf "%.0f" $value }} users fewer than the same weekday a week before let expect,'
            f" a loss of {limits.drop_share:.0%} or more that other templates do not share."
        ),
        because=(
            "Compared with the same weekday and with what all templates lost, so weekends and holidays are"
            " silent; Coder still corrects a day for three hours after its end."
        ),
        limits=("drop_share", "drop_users"),
        panel=Panel(
            TEMPLATE_INSIGHTS.slug,
            "Daily active users",
            {"organization": "organization_name", "template": "template_name"},
        ),
    )


def _deployment_drop(site: Site, ratio: Recording) -> Alert:
    limits, scope = site.thresholds, site.scope
    now = scope.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, **_LAST_DAY)
    before = scope.at(catalogue.DEPLOYMENT_ACTIVE_USERS, "7d", **_LAST_DAY)
    return Alert(
        name="CoderInsightsDeploymentActiveUsersDrop",
        expr=(
            f"{ratio.read(scope)} <= {1 - limits.drop_share:.6g}\n"
            f"and\n{before} - {now} >= {limits.drop_users:g}"
        ),
        wait="3h",
        severity=Severity.INFO,
        summary="Coder had far fewer users than a week before.",
        description=(
            "Yesterday Coder had {{ $value | humanizePercentage }} of the users of the same weekday a week"
            " before: a holiday, or something that kept people away."
        ),
        because="On a holiday this is right and nobody's fault; where something broke, other alerts tell.",
        limits=("drop_share", "drop_users"),
        panel=Panel(DEPLOYMENT_OVERVIEW.slug, "Active users"),
    )


def _seats_almost_used(site: Site, used: Recording) -> Alert:
    limits = site.thresholds
    return Alert(
        name="CoderInsightsSeatsAlmostUsed",
        expr=f"{used.read(site.scope)} > {limits.seats_share:g}",
        wait="1h",
        severity=Severity.WARNING,
        summary="Almost all seats of the licence are taken.",
        description=(
            "{{ $value | humanizePercentage }} of the licence's seats are taken. Without a free seat, new"
            " colleagues cannot use Coder."
        ),
        because="The last tenth is the time that buying takes; accounts do not come and go within an hour.",
        limits=("seats_share",),
        panel=Panel(CAPACITY_PLANNING.slug, "Seats left"),
    )


def _seats_forecast(site: Site, seats: Recording) -> Alert:
    limits, scope = site.thresholds, site.scope
    ahead = f"{limits.seats_days:g} * 86400"
    return Alert(
        name="CoderInsightsSeatsRunningOut",
        expr=(
            f"predict_linear({seats.read(scope)}[14d], {ahead})\n"
            f"> on (job)\n{scope.latest(catalogue.LICENSE_USER_LIMIT)}\n"
            f"and on (job)\n{seats.read(scope)} offset 7d"
        ),
        wait="6h",
        severity=Severity.WARNING,
        summary=f"The licence's seats run out within {amount(limits.seats_days, 'days')}.",
        description=(
            'If accounts keep growing as in the last two weeks, {{ printf "%.0f" $value }} of them will need'
            f" a seat in {limits.seats_days:g} days, more than the licence grants."
        ),
        because="A line through two weeks, of which one must have passed, does not follow one busy morning.",
        limits=("seats_days",),
        panel=Panel(CAPACITY_PLANNING.slug, "Seats"),
    )
