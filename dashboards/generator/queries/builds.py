"""Builds: the latest one of each workspace, and coderd's own metrics where Prometheus scrapes coderd.

Series of coderd have a job of their own, so the dashboards' job and instance do not select them.
"""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, Matchers
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from insights_exporter.bundle.promql import Expr
from insights_exporter.metrics import catalogue

__all__ = [
    "BUILD_LABELS",
    "coderd_build_seconds",
    "coderd_builds",
    "coderd_failed_share",
    "failed_latest_builds",
    "latest_builds",
]

BUILD_LABELS: Final = (*TEMPLATE_LABELS, "transition")

_RECORDED_BUILDS: Final = "instance:coderd_workspace_builds_total:sum"
"""A recording rule: coderd's counter has a series per workspace and version, which starts at 1."""

_BUILD_SECONDS: Final = "coderd_template_workspace_build_duration_seconds_bucket"
_TEMPLATES: Final = 'template_name=~"$templates"'


def latest_builds(matchers: Matchers, *by: str, **labels: str) -> Expr:
    """Return workspaces by transition and job status of their latest build."""
    return QUERY.latest(catalogue.LATEST_BUILDS, **matchers, **labels).sum(*by)


def failed_latest_builds(matchers: Matchers) -> Expr:
    """Return workspaces whose latest build failed by template and transition; 0 without a failed one."""
    failed = latest_builds(matchers, *BUILD_LABELS, status="failed")
    total = latest_builds(matchers, *BUILD_LABELS)
    return Expr(f"({failed} or {total} * 0)", BUILD_LABELS, frozenset())


def coderd_builds(range_: str, *by: str, matcher: str = "") -> Expr:
    """Return the builds within a range, counted by coderd; replicas count their own builds."""
    selector = f"{_RECORDED_BUILDS}{{{', '.join(filter(None, (_TEMPLATES, matcher)))}}}"
    return Expr(f"sum by ({', '.join(by)}) (increase({selector}[{range_}]))", by, frozenset())


def coderd_failed_share(range_: str, *by: str) -> Expr:
    """Return the share of failed builds within a range; 0 without a failed one."""
    failed = coderd_builds(range_, *by, matcher='status="failed"')
    total = coderd_builds(range_, *by)
    return Expr(f"(({failed} or {total} * 0) / ({total} > 0))", by, frozenset())


def coderd_build_seconds(q: str, range_: str, *by: str) -> Expr:
    """Return a quantile of the time from the creation of a build until its agents are ready."""
    labels = ", ".join((*by, "le"))
    selector = f'{_BUILD_SECONDS}{{{_TEMPLATES}, transition="start"}}'
    buckets = f"sum by ({labels}) (increase({selector}[{range_}]))"
    return Expr(f"(histogram_quantile({q}, {buckets}) >= 0)", by, frozenset())
