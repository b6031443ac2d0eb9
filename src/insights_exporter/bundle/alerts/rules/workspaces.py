"""Rules on idle workspaces and on failed workspace builds."""

from __future__ import annotations

import re

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
from insights_exporter.bundle.alerts.thresholds import format_threshold
from insights_exporter.bundle.promql import Expr, Matcher, regex, share
from insights_exporter.bundle.registry import CAPACITY_PLANNING
from insights_exporter.metrics import catalogue

__all__ = ["group"]


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on workspaces."""
    running, idle, failed, total = (
        _running_workspaces(options),
        _idle_workspaces(options),
        _failed_workspaces(options),
        _total_workspaces(options),
    )
    return RuleGroup(
        slug="workspaces",
        title="Workspaces",
        interval="1m",
        recordings=(running, idle, failed, total),
        alerts=(_idle_growing(options, idle, running), _builds_failing(options, failed, total)),
    )


def _bound_matcher(bound: float) -> Matcher:
    """Return a matcher for a bucket bound in both notations: ``86400.0`` and Go's ``86400``."""
    return regex("|".join(re.sub(r"([.+])", r"[\1]", text) for text in (repr(float(bound)), f"{bound:g}")))


def _buckets(options: InstallOptions, matcher: str | Matcher) -> Expr:
    buckets = options.query.buckets(catalogue.WORKSPACE_IDLE, "", le=matcher)
    return buckets.max(*options.template_labels).sum(*options.target_labels)


def _running_workspaces(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="deployment:coder_insights_workspace_idle_seconds:running",
        expr=str(_buckets(options, "+Inf")),
        labels=options.target_labels,
        description="Running workspaces.",
    )


def _idle_workspaces(options: InstallOptions) -> RecordingRule:
    idle_seconds = options.thresholds.idle_seconds
    used = _buckets(options, _bound_matcher(idle_seconds))
    return RecordingRule(
        name="deployment:coder_insights_workspace_idle_seconds:idle",
        expr=f"{_buckets(options, '+Inf')}\n- {used}",
        labels=options.target_labels,
        description=f"Running workspaces without use for {format_threshold(idle_seconds, 'seconds')}.",
    )


def _failed_workspaces(options: InstallOptions) -> RecordingRule:
    failed = options.query.latest(catalogue.WORKSPACES, status="failed")
    return RecordingRule(
        name="template:coder_insights_workspaces:failed",
        expr=str(failed),
        labels=options.template_labels,
        description="Workspaces whose latest build failed.",
    )


def _total_workspaces(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="template:coder_insights_workspaces:total",
        expr=str(options.query.latest(catalogue.WORKSPACES).sum(*options.template_labels)),
        labels=options.template_labels,
        description="Workspaces of the template.",
    )


def _idle_growing(options: InstallOptions, idle: RecordingRule, running: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    idle_selector, running_selector = idle.selector(query), running.selector(query)
    ratio = share(idle_selector, running_selector)
    ratio_last_week = share(f"{idle_selector} offset 7d", f"{running_selector} offset 7d")
    return Alert(
        name="CoderInsightsIdleWorkspacesGrowing",
        expr=(
            f"{ratio} >= {thresholds.idle_workspaces_share:g}\n"
            f"and\n{ratio} >= {thresholds.idle_workspaces_growth:g} * ({ratio_last_week})\n"
            f"and\n{idle_selector} >= {thresholds.idle_workspaces:g}"
        ),
        for_="1d",
        severity=Severity.INFO,
        summary="A growing share of running workspaces is idle.",
        description=(
            "{{ $value | humanizePercentage }} of the running workspaces had no use for"
            f" {format_threshold(thresholds.idle_seconds, 'seconds')}, and the share grows."
        ),
        rationale="A day excludes nights and weekends of single teams; the comparison is with a week ago.",
        thresholds=("idle_seconds", "idle_workspaces_share", "idle_workspaces_growth", "idle_workspaces"),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Reclaimable workspaces"),
    )


def _builds_failing(options: InstallOptions, failed: RecordingRule, total: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    return Alert(
        name="CoderInsightsBuildsFailing",
        expr=(
            f"{share(failed.selector(query), total.selector(query))}"
            f" >= {thresholds.failed_workspaces_share:g}\n"
            f"and\n{failed.selector(query)} >= {thresholds.failed_workspaces:g}"
        ),
        for_="30m",
        severity=Severity.WARNING,
        summary="The latest builds of many workspaces of a template failed.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "the latest build of"
            " {{ $value | humanizePercentage }} of the workspaces failed."
        ),
        rationale="Half an hour covers a retry; a quarter excludes mistakes of single users.",
        thresholds=("failed_workspaces_share", "failed_workspaces"),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Workspaces by status", TEMPLATES_VARIABLES),
    )
