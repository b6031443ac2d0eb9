"""Whether people can use, and do use, the apps that templates offer."""

from __future__ import annotations

from insights_exporter.bundle.alerts.app_stopped import AppStopped
from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import (
    CAPACITY_PLANNING,
    TEMPLATE_OPTIMIZATION,
    USER_SUPPORT,
)
from insights_exporter.bundle.queries import Scope, but, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE

__all__ = ["group"]

_OF_TEMPLATE = ("job", *TEMPLATE)
_BY_TEMPLATE = f"({', '.join(_OF_TEMPLATE)})"
_VARIABLES = {"organization": "organization_name", "template": "template_name"}
_DAY = 86400


def group(site: Site) -> Group:
    """Return the rules on apps and on templates that nobody uses."""
    scope = site.scope
    stopped, ill, checked = AppStopped(site), _unhealthy(scope), _checked(scope)
    return Group(
        subject="app-usage",
        title="Application usage",
        interval="1m",
        recordings=(*stopped.recordings(), ill, checked),
        alerts=(
            stopped.alert(),
            _apps_unhealthy(site, ill, checked),
            _template_unused(site),
            _app_unused(site),
        ),
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
