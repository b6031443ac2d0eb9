"""Whether people can use, and do use, the apps that templates offer."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, RuleGroup, Severity
from insights_exporter.bundle.alerts.rules.app_usage_stopped import AppUsageStopped
from insights_exporter.bundle.promql import QueryBuilder, not_equal, share
from insights_exporter.bundle.registry import (
    CAPACITY_PLANNING,
    TEMPLATE_OPTIMIZATION,
    USER_SUPPORT,
)
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE_LABELS

__all__ = ["group"]

_TEMPLATE_LABELS = ("job", *TEMPLATE_LABELS)
_BY_TEMPLATE = f"({', '.join(_TEMPLATE_LABELS)})"
_TEMPLATE_VARIABLES = {"organization": "organization_name", "template": "template_name"}
_DAY_SECONDS = 86400


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on apps and on templates that nobody uses."""
    query = options.query
    stopped, unhealthy, total = (
        AppUsageStopped(options),
        _unhealthy_workspaces(query),
        _checked_workspaces(query),
    )
    return RuleGroup(
        slug="app-usage",
        title="Application usage",
        interval="1m",
        recordings=(*stopped.recordings(), unhealthy, total),
        alerts=(
            stopped.alert(),
            _apps_unhealthy(options, unhealthy, total),
            _template_unused(options),
            _app_unused(options),
        ),
    )


def _unhealthy_workspaces(query: QueryBuilder) -> RecordingRule:
    return RecordingRule(
        name="template_app:coder_insights_app_health:unhealthy",
        expr=str(query.latest(catalogue.APP_HEALTH, health="unhealthy")),
        labels=(*_TEMPLATE_LABELS, "app"),
        description="Workspaces whose health check of an app fails.",
    )


def _checked_workspaces(query: QueryBuilder) -> RecordingRule:
    with_health_check = query.latest(catalogue.APP_HEALTH, health=not_equal("disabled"))
    return RecordingRule(
        name="template_app:coder_insights_app_health:checked",
        expr=str(with_health_check.sum(*_TEMPLATE_LABELS, "app")),
        labels=(*_TEMPLATE_LABELS, "app"),
        description="Workspaces with a health check of an app.",
    )


def _apps_unhealthy(options: InstallOptions, unhealthy: RecordingRule, total: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    return Alert(
        name="CoderInsightsAppsUnhealthy",
        expr=(
            f"{share(unhealthy.selector(query), total.selector(query))} >= {thresholds.unhealthy_share:g}\n"
            f"and\n{unhealthy.selector(query)} >= {thresholds.unhealthy_apps:g}"
        ),
        for_="15m",
        severity=Severity.WARNING,
        summary="An app is unhealthy in many workspaces.",
        description=(
            "The health check of {{ $labels.app }} fails in {{ $value | humanizePercentage }} of the running"
            " workspaces of template {{ $labels.template_name }} of {{ $labels.organization_name }}."
        ),
        rationale="Three polls in a row, in a quarter of the workspaces: not one workspace, not one moment.",
        thresholds=("unhealthy_share", "unhealthy_apps"),
        panel=PanelLink(USER_SUPPORT.slug, "App health", _TEMPLATE_VARIABLES),
    )


def _template_unused(options: InstallOptions) -> Alert:
    query, age = options.query, options.thresholds.unused_days * _DAY_SECONDS
    users = query.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="30d")
    created = query.latest(catalogue.TEMPLATE_CREATED)
    return Alert(
        name="CoderInsightsTemplateUnused",
        expr=f"time() - {created} > {age:g}\nand\n{users} == 0",
        for_="6h",
        severity=Severity.INFO,
        summary="Nobody has used a template for 30 days.",
        description=(
            "Template {{ $labels.template_name }} of {{ $labels.organization_name }} exists for"
            " {{ $value | humanizeDuration }}, and nobody used it in the last 30 days."
        ),
        rationale="Thirty days outlast leave; a template must also have existed that long.",
        thresholds=("unused_days",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Least used templates", _TEMPLATE_VARIABLES),
    )


def _app_unused(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    seconds = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="30d", app_type="app")
    users = query.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="30d")
    return Alert(
        name="CoderInsightsAppUnused",
        expr=(f"count by {_BY_TEMPLATE} ({seconds} == 0)\nand\n{users} >= {thresholds.unused_users:g}"),
        for_="6h",
        severity=Severity.INFO,
        summary="A template offers apps that nobody has used for 30 days.",
        description=(
            "Of the apps that template {{ $labels.template_name }} of {{ $labels.organization_name }}"
            " offers, {{ $value | humanize }} were used by nobody in the last 30 days."
        ),
        rationale="Only apps that the template itself brings count, and only where enough people could choose.",
        thresholds=("unused_users",),
        panel=PanelLink(TEMPLATE_OPTIMIZATION.slug, "Unused apps", _TEMPLATE_VARIABLES),
    )
