"""Rules on the use of apps, templates and parameter options."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import (
    TEMPLATE_SUBJECT,
    TEMPLATES_VARIABLES,
    Alert,
    PanelLink,
    RecordingRule,
    RuleGroup,
    Severity,
)
from insights_exporter.bundle.alerts.rules.app_usage_stopped import AppUsageStopped
from insights_exporter.bundle.promql import not_equal, share
from insights_exporter.bundle.registry import CAPACITY_PLANNING, TEMPLATE_OPTIMIZATION, USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["group", "parameters_group"]

_DAY_SECONDS: Final = 86400


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on apps and on unused templates."""
    stopped, unhealthy, total = (
        AppUsageStopped(options),
        _unhealthy_workspaces(options),
        _checked_workspaces(options),
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


def parameters_group(options: InstallOptions) -> RuleGroup:
    """Return the rules on unused parameter options."""
    return RuleGroup(
        slug="parameters",
        title="Template parameters",
        interval="1m",
        alerts=(_parameter_options_unused(options),),
    )


def _unhealthy_workspaces(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="template_app:coder_insights_app_health:unhealthy",
        expr=str(options.query.latest(catalogue.APP_HEALTH, health="unhealthy")),
        labels=(*options.template_labels, "app"),
        description="Workspaces in which the health check of the app fails.",
    )


def _checked_workspaces(options: InstallOptions) -> RecordingRule:
    with_health_check = options.query.latest(catalogue.APP_HEALTH, health=not_equal("disabled"))
    return RecordingRule(
        name="template_app:coder_insights_app_health:checked",
        expr=str(with_health_check.sum(*options.template_labels, "app")),
        labels=(*options.template_labels, "app"),
        description="Workspaces with a health check of the app.",
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
            f"{TEMPLATE_SUBJECT}: "
            "the health check of"
            " {{ $labels.app }} fails in {{ $value | humanizePercentage }} of the running workspaces."
        ),
        rationale="Three consecutive polls and a quarter of the workspaces exclude single workspaces.",
        thresholds=("unhealthy_share", "unhealthy_apps"),
        panel=PanelLink(USER_SUPPORT.slug, "App health", TEMPLATES_VARIABLES),
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
        summary="A template had no users for 30 days.",
        description=(
            f"{TEMPLATE_SUBJECT} "
            "was created"
            " {{ $value | humanizeDuration }} ago and had no users in the last 30 days."
        ),
        rationale="Thirty days are longer than leave, and the template must be at least as old.",
        thresholds=("unused_days",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Least used templates", TEMPLATES_VARIABLES),
    )


def _app_unused(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    seconds = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="30d", app_type="app")
    users = query.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="30d")
    return Alert(
        name="CoderInsightsAppUnused",
        expr=(
            f"count by ({', '.join(options.template_labels)}) ({seconds} == 0)\n"
            f"and\n{users} >= {thresholds.unused_users:g}"
        ),
        for_="6h",
        severity=Severity.INFO,
        summary="A template has apps without use for 30 days.",
        description=(
            f"{TEMPLATE_SUBJECT}: {{{{ $value | humanize }}}} of its apps had no use in the last 30 days."
        ),
        rationale="Only apps that the template declares count, and only with enough users.",
        thresholds=("unused_users",),
        panel=PanelLink(TEMPLATE_OPTIMIZATION.slug, "Unused apps", TEMPLATES_VARIABLES),
    )


def _parameter_options_unused(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    template_labels = options.template_labels
    option_workspaces = query.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, window="30d")
    workspaces = option_workspaces.sum(*template_labels, "parameter_name", "parameter_type").max(
        *template_labels
    )
    return Alert(
        name="CoderInsightsParameterOptionsUnused",
        expr=(
            f"count by ({', '.join(template_labels)}) ({option_workspaces} == 0)\n"
            f"and\n{workspaces} >= {thresholds.parameter_workspaces:g}"
        ),
        for_="6h",
        severity=Severity.INFO,
        summary="A template has parameter options without use for 30 days.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "no workspace of the last"
            " 30 days uses {{ $value | humanize }} of its parameter options."
        ),
        rationale="One alert per template keeps the number low; a minimum of workspaces excludes chance.",
        thresholds=("parameter_workspaces",),
        panel=PanelLink(TEMPLATE_OPTIMIZATION.slug, "Unused options", TEMPLATES_VARIABLES),
    )
