"""Whether people can use, and do use, the apps that templates offer."""

from __future__ import annotations

from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import (
    CAPACITY_PLANNING,
    TEMPLATE_INSIGHTS,
    TEMPLATE_OPTIMIZATION,
    USER_SUPPORT,
)
from insights_exporter.bundle.queries import Scope, but, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import APP, TEMPLATE

__all__ = ["group"]

_OF_TEMPLATE = ("job", *TEMPLATE)
_BY_TEMPLATE = f"({', '.join(_OF_TEMPLATE)})"
_VARIABLES = {"organization": "organization_name", "template": "template_name"}
_DAY = 86400


def group(site: Site) -> Group:
    """Return the rules on apps and on templates that nobody uses."""
    scope = site.scope
    days, company, ill, checked = _used_days(scope), _company(scope), _unhealthy(scope), _checked(scope)
    return Group(
        subject="app-usage",
        title="Application usage",
        interval="1m",
        recordings=(days, company, ill, checked),
        alerts=(
            _stopped(site, days, company),
            _apps_unhealthy(site, ill, checked),
            _template_unused(site),
            _app_unused(site),
        ),
    )


def _used_days(scope: Scope) -> Recording:
    family = catalogue.TEMPLATE_APP_USAGE_WINDOW
    days = [scope.latest(family, window="yesterday")]
    days += [scope.at(family, f"{ago}d", window="yesterday") for ago in range(1, 7)]
    return Recording(
        name="template_app:coder_insights_template_app_usage_window_seconds:used_days",
        expr="\n+ ".join(f"({day} > bool 0)" for day in days),
        labels=(*_OF_TEMPLATE, *APP),
        meaning="On how many of the seven days before today an app was used.",
    )


def _company(scope: Scope) -> Recording:
    today = {"interval": "day", "ago": "0"}
    return Recording(
        name="deployment:coder_insights_deployment_active_users:today_ratio",
        expr=share(
            scope.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, **today),
            scope.at(catalogue.DEPLOYMENT_ACTIVE_USERS, "7d", **today),
        ),
        labels=("job",),
        meaning="Users so far today, as a share of those a week ago by the same time.",
    )


def _unhealthy(scope: Scope) -> Recording:
    return Recording(
        name="template_app:coder_insights_app_health:unhealthy",
        expr=str(scope.latest(catalogue.APP_HEALTH, health="unhealthy")),
        labels=(*_OF_TEMPLATE, "app"),
        meaning="Workspaces whose health check of an app fails.",
    )


def _checked(scope: Scope) -> Recording:
    checked = scope.latest(catalogue.APP_HEALTH, health=but("disabled"))
    return Recording(
        name="template_app:coder_insights_app_health:checked",
        expr=str(checked.sum(*_OF_TEMPLATE, "app")),
        labels=(*_OF_TEMPLATE, "app"),
        meaning="Workspaces with a health check of an app.",
    )


def _stopped(site: Site, days: Recording, company: Recording) -> Alert:
    limits, scope = site.thresholds, site.scope
    family = catalogue.TEMPLATE_APP_USAGE_WINDOW
    return Alert(
        name="CoderInsightsAppUsageStopped",
        expr=(
            f"{scope.at(family, '7d', window='today')} >= {limits.app_seconds:g}\n"
            f"and\n{scope.latest(family, window='today')} == 0\n"
            f"and\n{days.read(scope)} >= {limits.app_days:g}\n"
            f"and on (job)\n{company.read(scope)} >= {limits.company_share:g}"
        ),
        wait="1h",
        severity=Severity.WARNING,
        summary="Nobody uses an app today that people use every working day.",
        description=(
            "Nobody has used {{ $labels.app }} in template {{ $labels.template_name }} of"
            " {{ $labels.organization_name }} today. A week ago people had used it for"
            " {{ $value | humanizeDuration }} by this time, and the rest of Coder is as busy as then."
        ),
        because=(
            "Used on nearly all working days, for hours by this time, by a company that is at work: its"
            " silence is no day off; an hour lets a late start pass."
        ),
        limits=("app_seconds", "app_days", "company_share"),
        panel=Panel(TEMPLATE_INSIGHTS.slug, "App & IDE Usage", _VARIABLES),
    )


def _apps_unhealthy(site: Site, ill: Recording, checked: Recording) -> Alert:
    limits, scope = site.thresholds, site.scope
    return Alert(
        name="CoderInsightsAppsUnhealthy",
        expr=(
            f"{share(ill.read(scope), checked.read(scope))} >= {limits.unhealthy_share:g}\n"
            f"and\n{ill.read(scope)} >= {limits.unhealthy_apps:g}"
        ),
        wait="15m",
        severity=Severity.WARNING,
        summary="An app is unhealthy in many workspaces.",
        description=(
            "The health check of {{ $labels.app }} fails in {{ $value | humanizePercentage }} of the running"
            " workspaces of template {{ $labels.template_name }} of {{ $labels.organization_name }}."
        ),
        because="Three polls in a row, in a quarter of the workspaces: not one workspace, not one moment.",
        limits=("unhealthy_share", "unhealthy_apps"),
        panel=Panel(USER_SUPPORT.slug, "App health", _VARIABLES),
    )


def _template_unused(site: Site) -> Alert:
    scope, age = site.scope, site.thresholds.unused_days * _DAY
    users = scope.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="30d")
    created = scope.latest(catalogue.TEMPLATE_CREATED)
    return Alert(
        name="CoderInsightsTemplateUnused",
        expr=f"time() - {created} > {age:g}\nand\n{users} == 0",
        wait="6h",
        severity=Severity.INFO,
        summary="Nobody has used a template for 30 days.",
        description=(
            "Template {{ $labels.template_name }} of {{ $labels.organization_name }} exists for"
            " {{ $value | humanizeDuration }}, and nobody used it in the last 30 days."
        ),
        because="Thirty days outlast leave; a template must also have existed that long.",
        limits=("unused_days",),
        panel=Panel(CAPACITY_PLANNING.slug, "Least used templates", _VARIABLES),
    )


def _app_unused(site: Site) -> Alert:
    limits, scope = site.thresholds, site.scope
    seconds = scope.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="30d", app_type="app")
    users = scope.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="30d")
    return Alert(
        name="CoderInsightsAppUnused",
        expr=(f"count by {_BY_TEMPLATE} ({seconds} == 0)\nand\n{users} >= {limits.unused_users:g}"),
        wait="6h",
        severity=Severity.INFO,
        summary="A template offers apps that nobody has used for 30 days.",
        description=(
            "Of the apps that template {{ $labels.template_name }} of {{ $labels.organization_name }}"
            " offers, {{ $value | humanize }} were used by nobody in the last 30 days."
        ),
        because="Only apps that the template itself brings count, and only where enough people could choose.",
        limits=("unused_users",),
        panel=Panel(TEMPLATE_OPTIMIZATION.slug, "Unused apps", _VARIABLES),
    )
